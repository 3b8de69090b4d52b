import { STATUS_CODES } from "node:http";
import { toOpenAPISchema } from "@elysiajs/openapi";
import { OptionalKind, type TSchema, Type } from "@sinclair/typebox";
import { type AnyElysia, Elysia } from "elysia";
import { exampleOf } from "./examples.ts";
import { DESCRIBED_AS } from "./input.ts";
import { type OpenApiDocument, openApiPage } from "./openapi-page.ts";
import { htmlResponse } from "./page.ts";
import { problem } from "./problem.ts";

interface ServiceInfo {
  readonly app: string;
  readonly description?: string;
  readonly version?: string;
  /** An SPDX identifier. */
  readonly license?: string;
  readonly asyncApi?: object;
}

/** A group of operations. */
export interface Tag {
  readonly name: string;
  readonly description: string;
}

/** What every service serves for those who run it. */
export const HEALTH: Tag = { name: "health", description: "Whether the service works, and how much it does" };

interface Documented {
  /** What a client has to know beyond the summary, as Markdown. */
  readonly description?: string;
  /** For generated clients; by default made from the method and the path. */
  readonly operationId?: string;
  /** Its answers that are no problems, by status: the schema of the body, or null where there is none. */
  readonly answers: Readonly<Record<number, TSchema | null>>;
  /**
   * The statuses of the problems that the route itself answers with. Those that follow from its schemas and its
   * access, and those of every route, are added.
   */
  readonly problems?: readonly number[];
  /** Whose token the request needs; anybody may send it unless given. */
  readonly access?: "customer" | "admin";
  readonly tag?: Tag;
  /** Whether the same request with the same Idempotency-Key takes effect once. */
  readonly idempotent?: boolean;
  /** Whether its answer has a `Consistency-Token`, it waits for what one says, or both. */
  readonly consistency?: "writes" | "reads" | "both";
  /** What the WebSocket sends that a handshake (RFC 6455) at the same path opens. */
  readonly webSocket?: string;
}

/** In an operation until its document is made: the description of its tag. */
const TAG = "x-tag";

/**
 * What the OpenAPI document says of a route: the `detail` of its hooks. Not by Elysia's `response`, which would check and
 * trim every answer; e2e/fuzz compares the answers of the services with the document. A body that is no JSON has
 * `contentMediaType` in its schema.
 */
export function documented(summary: string, about: Documented) {
  const { answers, problems = [], access, tag, idempotent, consistency, operationId, webSocket } = about;
  const waits = consistency === "reads" || consistency === "both";
  const parameters = [...(idempotent ? [IDEMPOTENCY_KEY] : []), ...(waits ? [TOKEN_OF_BEFORE] : [])];
  const headers = {
    ...(idempotent ? { ...REPLAYED, ...DURABILITY } : {}),
    ...(consistency === "writes" || consistency === "both" ? TOKEN_OF_ANSWER : {}),
  };
  const statuses = [
    ...problems,
    ...(access === undefined ? [] : [401, 503]),
    ...(access === "admin" ? [403] : []),
    ...(idempotent ? [400, 422] : []),
    ...(waits ? [400] : []),
    ...(webSocket === undefined ? [] : [429]),
  ];
  return {
    summary,
    description: descriptionOf(summary, about),
    ...(operationId === undefined ? {} : { operationId }),
    ...(tag === undefined ? {} : { tags: [tag.name], [TAG]: tag }),
    security: securityOf(about),
    ...(parameters.length === 0 ? {} : { parameters }),
    responses: {
      ...Object.fromEntries(statuses.map((status) => [status, problemResponse(status)])),
      ...(webSocket === undefined ? {} : { 101: { description: `The WebSocket is open. ${webSocket}` } }),
      ...Object.fromEntries(
        Object.entries(answers).map(([status, schema]) => [
          status,
          {
            description: STATUS_CODES[status] ?? summary,
            ...(Object.keys(headers).length === 0 ? {} : { headers }),
            ...(schema === null ? {} : { content: contentOf(schema) }),
          },
        ]),
      ),
    },
  };
}

function descriptionOf(summary: string, { description, access, idempotent, webSocket }: Documented): string {
  return [
    description ?? `${summary}.`,
    ...(access === "customer" ? ["Needs a token; it concerns its bearer only."] : []),
    ...(access === "admin" ? ["Needs an admin's token."] : []),
    ...(idempotent ? ["May be repeated with the same `Idempotency-Key`: it takes effect once."] : []),
    ...(webSocket === undefined ? [] : [`With \`Upgrade: websocket\` it opens a WebSocket. ${webSocket}`]),
  ].join("\n\n");
}

function securityOf({ access, webSocket }: Documented): Record<string, string[]>[] {
  if (access === undefined) return [];
  // Role names, as OpenAPI 3.1 has them for schemes other than OAuth 2.
  const bearer = { bearer: access === "admin" ? ["admin"] : [] };
  return webSocket === undefined ? [bearer] : [bearer, { webSocketProtocol: [] }];
}

function contentOf(schema: TSchema): Record<string, object> {
  const type: string = schema.contentMediaType ?? "application/json";
  const example = /[/+]json$/.test(type) ? { example: exampleOf(described(schema)) } : {};
  return { [type]: { schema, ...example } };
}

const SECURITY_SCHEMES: Readonly<Record<string, object>> = {
  bearer: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "A JSON Web Token (RFC 7519) in `Authorization: Bearer …` (RFC 6750).",
  },
  webSocketProtocol: {
    type: "apiKey",
    in: "header",
    name: "Sec-WebSocket-Protocol",
    description:
      "For WebSockets: the same token as the second of two subprotocols, `bearer, <token>`; the server accepts `bearer`. " +
      'A browser sends it with `new WebSocket(url, ["bearer", token])`. Instead, the query may have it as `token`.',
  },
};

/** draft-ietf-httpapi-idempotency-key-header */
const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header" as const,
  description: "Chosen by the client: the same request with the same key takes effect once",
  required: false,
  schema: { type: "string" as const, pattern: "^[\\x21-\\x7e]{1,255}$" },
  example: "5c2f8a4e-1f0b-4d8e-9c57-2f6f0b1f7e11",
};
const REPLAYED = {
  "Idempotent-Replayed": {
    description: "The request took effect before",
    schema: { type: "string" as const, enum: ["true"] },
  },
};

const DURABILITY = {
  Durability: {
    description:
      "Only where the service waits for the broker before it answers: whether the broker has it, or this service's disk alone",
    schema: { type: "string" as const, enum: ["replicated", "local"] },
  },
};
const TOKEN = { type: "string" as const, pattern: "^[A-Za-z0-9_-]{1,200}$" };
const TOKEN_OF_BEFORE = {
  name: "Consistency-Token",
  in: "header" as const,
  description:
    "Of an earlier answer of whichever instance: this one waits for some seconds until it shows what that has done, or answers 503",
  required: false,
  schema: TOKEN,
  example: "cGxhY2VkIE9SREVSXzAwMS1hYmNkZWZnaGlqa2xtbm9w",
};
const TOKEN_OF_ANSWER = {
  "Consistency-Token": {
    description: "Opaque: with it, a later request to whichever instance finds what this one has done",
    schema: TOKEN,
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
  { title: "Problem", description: "Problem details (RFC 9457)" },
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

/** When a status is answered, the code of one of its problems, and that problem's detail. */
const PROBLEMS: Readonly<Record<number, readonly [when: string, code: string, detail: string]>> = {
  400: [
    "The request, its body or one of its headers is malformed",
    "malformed-body",
    "The body is not JSON in UTF-8.",
  ],
  401: ["There is no valid token", "token-expired", "The token has expired. Sign in again."],
  403: [
    "Not allowed to whose token it is, or sent by a foreign page",
    "admin-only",
    "Only an admin may do this.",
  ],
  404: ["There is no such thing", "not-found", "There is nothing at this path."],
  409: ["The state of the thing does not allow it", "order-final", "Order ORDER_001 is cancelled already."],
  413: ["The body is too long", "body-too-large", "The body is longer than 65536 bytes."],
  415: [
    "The body is not declared as JSON",
    "unsupported-media-type",
    "Send the body as application/json in UTF-8.",
  ],
  422: ["The path, the query or the body breaks its schema", "invalid-input", "The path is invalid."],
  429: ["Too many requests", "rate-limited", "There were too many requests of this kind."],
  500: [
    "A fault of the service",
    "internal-error",
    "Something went wrong here. The log has more under the request id.",
  ],
  503: ["Not now; a later request may succeed", "storage-unavailable", "Nothing can be stored right now."],
};

function problemResponse(status: number) {
  const headers = PROBLEM_HEADERS[status];
  const [when, code, detail] = PROBLEMS[status] ?? [
    STATUS_CODES[status] ?? "A problem",
    "problem",
    "A problem.",
  ];
  return {
    description: when,
    ...(headers === undefined ? {} : { headers }),
    content: {
      "application/problem+json": {
        schema: { $ref: "#/components/schemas/Problem" },
        example: problem(status, code, detail),
      },
    },
  };
}

/** A request that breaks HTTP, one of a foreign page, one whose declared length is too long, and a fault. */
const OF_EVERY_ROUTE = [400, 403, 413, 500];

/** Of every document: the service that serves it. */
const SERVERS = [{ url: "/", description: "This service" }];

/**
 * The OpenAPI document (3.1.1) of the routes that the app has at the first request of it: as JSON at `/openapi/json`, and
 * as a page at `/openapi`. The plugin's page is not served: it loads its scripts from another server.
 */
export function openApiRoutes(app: AnyElysia, info: ServiceInfo) {
  let document: OpenApiDocument | undefined;
  const current = () => {
    document ??= documentOf(app, info);
    return document;
  };
  return new Elysia({ name: "openapi" })
    .get("/openapi/json", current, { detail: { hide: true } })
    .get("/openapi", () => htmlResponse(openApiPage(current(), info.asyncApi !== undefined)), {
      detail: { hide: true },
    });
}

function documentOf(
  app: AnyElysia,
  { app: title, version = "0.1.0", description, license }: ServiceInfo,
): OpenApiDocument {
  const document = toOpenAPISchema(app, { methods: ["ws", "options"] });
  // The plugin's type allows a reference in the place of every operation; it generates operations only.
  const paths = document.paths as Record<string, Record<string, Operation> | undefined>;
  const tags = new Map<string, Tag>();
  const schemes = new Set<string>();
  for (const { path, method, hooks } of app.routes) {
    const operation = paths[toTemplate(path)]?.[method.toLowerCase()];
    if (operation === undefined) continue;
    const { [TAG]: tag } = operation;
    if (tag !== undefined) tags.set(tag.name, tag);
    delete operation[TAG];
    // `/dead-letters` would make it `getDead-letters`, which is no name in a generated client.
    operation.operationId = operation.operationId?.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
    for (const requirement of operation.security ?? []) {
      for (const scheme of Object.keys(requirement)) schemes.add(scheme);
    }
    // The plugin leaves out the parameters of `detail` where the route has others.
    const declared: Parameter[] = hooks?.detail?.parameters ?? [];
    const parameters = [
      ...(operation.parameters ?? []).filter(({ in: place }) => place !== "header"),
      ...declared,
    ];
    if (parameters.length > 0) {
      operation.parameters = parameters.map((one) => ({
        ...one,
        example: one.example ?? exampleOf(described(one.schema), one.name),
      }));
    }
    // The plugin documents a body only for parsers that it knows by name; readJson is a function.
    const body: TSchema | undefined = hooks?.body;
    if (body !== undefined) {
      operation.requestBody = { required: !(OptionalKind in body), content: contentOf(body) };
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
  // Through JSON, which drops the symbols that TypeBox keeps in a schema.
  const text = JSON.stringify({
    paths: described(paths),
    schemas: { ...document.components.schemas, Problem: PROBLEM },
  });
  const plain = JSON.parse(text) as { paths: OpenApiDocument["paths"]; schemas: Record<string, object> };
  return {
    openapi: "3.1.1",
    info: {
      title,
      version,
      description: description ?? `The HTTP interface of ${title}`,
      ...(license === undefined ? {} : { license: { name: license, identifier: license } }),
    },
    servers: SERVERS,
    tags: [...tags.values()],
    paths: plain.paths,
    components: {
      schemas: plain.schemas,
      securitySchemes: Object.fromEntries(
        Object.entries(SECURITY_SCHEMES).filter(([name]) => schemes.has(name)),
      ),
    },
  };
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema?: unknown;
  readonly example?: unknown;
}

interface Operation {
  [TAG]?: Tag;
  operationId?: string | undefined;
  security?: Record<string, string[]>[];
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
