import { type Static, Type } from "@sinclair/typebox";
import { parse, read, request } from "../../support/answers.ts";

/** A JSON Schema of a document. */
export type Schema = Readonly<Record<string, unknown>>;
const Schema = Type.Unsafe<Schema>(Type.Object({}));
const content = Type.Optional(Type.Record(Type.String(), Type.Object({ schema: Schema })));

const ResponseObject = Type.Object({
  headers: Type.Optional(Type.Record(Type.String(), Type.Object({ schema: Schema }))),
  content,
});

const OperationObject = Type.Object({
  /** Empty where anybody may send the request. The first of several ways is that of requests. */
  security: Type.Array(Type.Object({ bearer: Type.Optional(Type.Array(Type.String())) })),
  parameters: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        in: Type.Union([Type.Literal("path"), Type.Literal("query"), Type.Literal("header")]),
        required: Type.Boolean(),
        schema: Schema,
      }),
    ),
  ),
  requestBody: Type.Optional(Type.Object({ required: Type.Boolean(), content })),
  responses: Type.Record(Type.String(), ResponseObject),
});

/** The parts of an OpenAPI document (3.1) that this fuzzing uses. */
const Document = Type.Object({
  paths: Type.Record(Type.String(), Type.Record(Type.String(), OperationObject)),
  components: Type.Object({ schemas: Type.Record(Type.String(), Schema) }),
});

export interface Operation extends Static<typeof OperationObject> {
  /** Of its server. */
  readonly url: string;
  /** `api-gateway GET /orders/{orderId}` */
  readonly name: string;
  /** In upper case. */
  readonly method: string;
  /** With its parameters in braces. */
  readonly path: string;
  /** The document's named schemas. */
  readonly schemas: Readonly<Record<string, Schema>>;
  /** Other methods of its path. */
  readonly siblings: readonly string[];
}

/** The operations that a server's OpenAPI document describes. @throws when one lists no answer but problems */
export async function operationsOf(server: string, url: string): Promise<Operation[]> {
  const { paths, components } = parse(Document, read(Type.Unknown(), await request(`${url}/openapi/json`)));
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      ...{ url, path, method: method.toUpperCase(), name: `${server} ${method.toUpperCase()} ${path}` },
      schemas: components.schemas,
      siblings: Object.keys(methods).map((each) => each.toUpperCase()),
    })),
  );
  for (const { name, responses } of operations) {
    if (!Object.keys(responses).some((status) => status.startsWith("2"))) {
      throw new Error(`the document lists no answer of ${name}: use \`documented\``);
    }
  }
  return operations;
}
