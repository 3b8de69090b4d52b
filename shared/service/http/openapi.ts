import { STATUS_CODES } from "node:http";
import { toOpenAPISchema } from "@elysiajs/openapi";
import { OptionalKind, type TSchema, Type } from "@sinclair/typebox";
import { type AnyElysia, Elysia } from "elysia";
import { DESCRIBED_AS } from "./input.ts";

interface ServiceInfo {
  readonly app: string;
  readonly description?: string;
  readonly version?: string;
}

interface Documented {
  /** Its answers that are no problems, by status: the schema of the body, or null where there is none. */
  readonly answers: Readonly<Record<number, TSchema | null>>;
  /**
   * The statuses of the problems that the route itself answers with. Those that follow from its schemas and its
   * access, and those of every route, are added.
   */
  readonly problems?: readonly number[];
  /** Whose token the request needs; anybody may send it unless given. */
  readonly access?: "customer" | "admin";
  readonly tags?: readonly string[];
  /** Whether the same request with the same Idempotency-Key takes effect once. */
  readonly idempotent?: boolean;
}

/**
 * What the OpenAPI document says of a route: the `detail` of its hooks. Not by Elysia's `response`, which would check and
 * trim every answer; e2e/fuzz compares the answers of the services with the document. A body that is no JSON has
 * `contentMediaType` in its schema.
 */
export function documented(
  summary: string,
  { answers, problems = [], access, tags, idempotent }: Documented,
) {
  const statuses = [
    ...problems,
    ...(access === undefined ? [] : [401, 503]),
    ...(access === "admin" ? [403] : []),
    ...(idempotent ? [400, 422] : []),
  ];
  return {
    summary,
    ...(tags === undefined ? {} : { tags: [...tags] }),
    // Role names, as OpenAPI 3.1 has them for schemes other than OAuth 2.
    ...(access === undefined ? {} : { security: [{ bearer: access === "admin" ? ["admin"] : [] }] }),
    ...(idempotent ? { parameters: [IDEMPOTENCY_KEY] } : {}),
    responses: {
      ...Object.fromEntries(statuses.map((status) => [status, problemResponse(status)])),
      ...Object.fromEntries(
        Object.entries(answers).map(([status, schema]) => [
          status,
          {
            description: STATUS_CODES[status] ?? summary,
            ...(idempotent ? { headers: REPLAYED } : {}),
            ...(schema === null
              ? {}
              : { content: { [schema.contentMediaType ?? "application/json"]: { schema } } }),
          },
        ]),
      ),
    },
  };
}

/** draft-ietf-httpapi-idempotency-key-header */
const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header" as const,
  description: "Chosen by the client: the same request with the same key takes effect once",
  required: false,
  schema: { type: "string" as const, pattern: "^[\\x21-\\x7e]{1,255}$" },
};
const REPLAYED = {
  "Idempotent-Replayed": {
    description: "The request took effect before",
    schema: { type: "string" as const, enum: ["true"] },
  },
};

/** RFC 9457 §3, with the members of `problem.ts`. */
const PROBLEM = Type.Object(
  {
    type: Type.String({ format: "uri-reference" }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String({ description: "JSON Pointer" }), message: Type.String() })),
    ),
    requestId: Type.Optional(Type.String({ description: "The trace id under which the log has more" })),
  },
  { title: "Problem" },
);

interface Header {
  readonly description: string;
  readonly schema: { readonly type: "string" | "integer"; readonly minimum?: number };
}

/** Headers of the problems of a status. */
const PROBLEM_HEADERS: Readonly<Record<number, Record<string, Header>>> = {
  401: { "WWW-Authenticate": { description: "RFC 6750 §3", schema: { type: "string" } } },
  429: { "Retry-After": { description: "Seconds", schema: { type: "integer", minimum: 0 } } },
  503: { "Retry-After": { description: "Seconds", schema: { type: "integer", minimum: 0 } } },
};

function problemResponse(status: number) {
  const headers = PROBLEM_HEADERS[status];
  return {
    description: STATUS_CODES[status] ?? "A problem",
    ...(headers === undefined ? {} : { headers }),
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}

/** A request that breaks HTTP, one of a foreign page, one whose declared length is too long, and a fault. */
const OF_EVERY_ROUTE = [400, 403, 413, 500];

/**
 * `GET /openapi/json`: the routes that the app has at the first request of it (OpenAPI 3.1.1). The plugin's page is
 * not served: it loads its scripts from another server.
 */
export function openApiRoute(app: AnyElysia, info: ServiceInfo) {
  let document: object | undefined;
  return new Elysia({ name: "openapi" }).get(
    "/openapi/json",
    () => {
      document ??= documentOf(app, info);
      return document;
    },
    { detail: { hide: true } },
  );
}

function documentOf(app: AnyElysia, { app: title, version = "0.1.0", description }: ServiceInfo): object {
  const document = toOpenAPISchema(app, { methods: ["ws", "options"] });
  // The plugin's type allows a reference in the place of every operation; it generates operations only.
  const paths = document.paths as Record<string, Record<string, Operation> | undefined>;
  for (const { path, method, hooks } of app.routes) {
    const operation = paths[toTemplate(path)]?.[method.toLowerCase()];
    if (operation === undefined) continue;
    // The plugin leaves out the parameters of `detail` where the route has others.
    const declared: Parameter[] = hooks?.detail?.parameters ?? [];
    const parameters = [
      ...(operation.parameters ?? []).filter(({ in: place }) => place !== "header"),
      ...declared,
    ];
    if (parameters.length > 0) operation.parameters = parameters;
    // The plugin documents a body only for parsers that it knows by name; readJson is a function.
    const body: TSchema | undefined = hooks?.body;
    if (body !== undefined) {
      operation.requestBody = {
        required: !(OptionalKind in body),
        content: { "application/json": { schema: body } },
      };
    }
    // The body of any other method is read, also where the route has no use for it.
    const hasBody = method !== "GET";
    const hasInput = hasBody || hooks?.params !== undefined || hooks?.query !== undefined;
    const statuses = [...OF_EVERY_ROUTE, ...(hasInput ? [422] : []), ...(hasBody ? [415] : [])];
    operation.responses = {
      ...Object.fromEntries(statuses.map((status) => [status, problemResponse(status)])),
      ...operation.responses,
    };
  }
  return {
    openapi: "3.1.1",
    info: { title, version, description: description ?? `The HTTP interface of ${title}` },
    paths: described(paths),
    components: {
      schemas: { ...document.components.schemas, Problem: PROBLEM },
      securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
    },
  };
}

interface Parameter {
  readonly name: string;
  readonly in: string;
}

interface Operation {
  parameters?: Parameter[];
  responses?: Record<string, unknown>;
  requestBody?: unknown;
}

/** The same value, with the schemas in the place of those that they describe. */
function described(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(described);
  if (typeof value !== "object" || value === null) return value;
  if (DESCRIBED_AS in value) return value[DESCRIBED_AS];
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, described(member)]));
}

/** `/orders/:orderId` → `/orders/{orderId}` */
function toTemplate(path: string): string {
  return path.replace(/:([^/?]+)\??/g, "{$1}");
}
