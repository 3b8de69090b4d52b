import { toOpenAPISchema } from "@elysiajs/openapi";
import { type AnyElysia, Elysia } from "elysia";
import { DESCRIBED_AS } from "./input.ts";

interface ServiceInfo {
  readonly app: string;
  readonly description?: string;
  readonly version?: string;
}

/** RFC 9457 §3, with the members of `problem.ts`. */
const PROBLEM = {
  type: "object",
  required: ["type", "title", "status", "detail"],
  properties: {
    type: { type: "string", format: "uri-reference" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    errors: {
      type: "array",
      items: {
        type: "object",
        required: ["path", "message"],
        properties: { path: { type: "string", description: "JSON Pointer" }, message: { type: "string" } },
      },
    },
    requestId: { type: "string" },
  },
};

const PROBLEM_RESPONSE = {
  description: "A refusal or a fault",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

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
  for (const route of app.routes) {
    const operation = paths[toTemplate(route.path)]?.[route.method.toLowerCase()];
    if (operation === undefined) continue;
    operation.responses = { ...operation.responses, default: PROBLEM_RESPONSE };
    for (const parameter of operation.parameters ?? []) {
      const documented = parameter.schema?.[DESCRIBED_AS];
      if (documented !== undefined) parameter.schema = documented;
    }
    // The plugin documents a body only for parsers that it knows by name; readJson is a function.
    const schema: unknown = route.hooks?.body;
    if (schema !== undefined)
      operation.requestBody = { required: true, content: { "application/json": { schema } } };
  }
  return {
    openapi: "3.1.1",
    info: { title, version, description: description ?? `The HTTP interface of ${title}` },
    paths,
    components: {
      schemas: { ...document.components.schemas, Problem: PROBLEM },
      securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
    },
  };
}

interface Operation {
  parameters?: { schema?: object & { readonly [DESCRIBED_AS]?: object } }[];
  responses?: Record<string, unknown>;
  requestBody?: unknown;
}

/** `/orders/:orderId` → `/orders/{orderId}` */
function toTemplate(path: string): string {
  return path.replace(/:([^/?]+)\??/g, "{$1}");
}
