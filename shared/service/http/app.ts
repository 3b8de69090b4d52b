import { errorText } from "@distributed-messaging/messaging";
import type { AsyncApiDocument } from "@distributed-messaging/messaging/asyncapi";
import type { Tracer } from "@opentelemetry/api";
import { type AnyElysia, Elysia, ValidationError } from "elysia";
import { ServiceError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { type Metrics, metricsRoute } from "../telemetry/metrics.ts";
import { asyncApiRoutes } from "./asyncapi.ts";
import { exchangeOf, serveExchange } from "./exchange.ts";
import type { AllowedSources } from "./foreign.ts";
import { type HealthCheck, healthRoutes } from "./health.ts";
import { readJson } from "./input.ts";
import { openApiRoutes } from "./openapi.ts";
import { faultResponse, HttpProblem, invalidResponse, refusalOf, refusalResponse } from "./problem.ts";

export { causeOf } from "./exchange.ts";
export { type AllowedSources, allowedSources, isAllowedPage } from "./foreign.ts";
export { DESCRIBED_AS, IntegerParam } from "./input.ts";
export { documented, type Tag } from "./openapi.ts";
export { HttpProblem } from "./problem.ts";
export { type Listening, listen } from "./server.ts";

export interface HttpAppOptions {
  /** The service's name, `order`. */
  readonly app: string;
  /** One sentence for the OpenAPI document. */
  readonly description?: string;
  readonly version?: string;
  /** Of the interface, in the OpenAPI document: an SPDX identifier. */
  readonly license?: string;
  /** What the service sends and receives: served beside the OpenAPI document. */
  readonly asyncApi?: AsyncApiDocument;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer?: Tracer;
  /** What `/readiness` checks. */
  readonly checks?: readonly HealthCheck[];
  /** Where requests may come from; the loopback names and their own pages by default. */
  readonly allowed?: AllowedSources;
}

/**
 * An Elysia app to which a service adds its routes. It serves by itself:
 *
 * - `/liveness`, `/readiness`, `/metrics`, `/openapi`, `/openapi/json`, and `/asyncapi`, `/asyncapi/json` with a document;
 * - every refusal as problem+json (RFC 9457): 400 for malformed input, 403 for requests of foreign pages, 404 and 405 (with Allow), 413 above
 *   MAX_BODY_BYTES, 415 for a body that is not JSON, 422 with each field that breaks the schema;
 * - every other error as 500 with a request id and nothing else; the log has the error under that id.
 *
 * Routes throw `ServiceError`; the errors of the messaging kit need no conversion. Two things are left to the schemas
 * of a route: they must be closed (`additionalProperties: false`) to refuse unknown fields, and the schema of a
 * required body must not be `Type.Optional`, because Elysia accepts `{}` for any optional schema.
 */
export function createHttpApp(options: HttpAppOptions) {
  const app = new Elysia({
    // Normalisation drops unknown fields instead of refusing them, and decides by the first branch of a union.
    normalize: false,
    // Elysia skips the first 11 characters of a URL to find the path, but a Host header may be shorter than that.
    handler: { standardHostname: false },
  });
  app.wrap((fetch, request) => {
    // Elysia declares this argument as a function that makes functions; it is the fetch of this app.
    const inner = fetch as unknown as (request: Request) => Promise<Response | undefined>;
    return () => serveExchange(request, inner, options);
  });
  app.onParse(({ request, route }) => {
    exchangeOf(request).route = route;
    return request.method === "GET" ? null : readJson(request);
  });
  // A route without a body is not parsed.
  app.onTransform(({ request, route }) => {
    exchangeOf(request).route = route;
  });
  app.onError(({ request, error, code, path }) => {
    const refusal = code === "NOT_FOUND" ? noRoute(request, path, app) : refusalOf(causeIn(error, code));
    if (refusal !== undefined) return refusalResponse(refusal);
    const fault = error instanceof ValidationError ? invalidResponse(error) : error;
    const { requestId, route } = exchangeOf(request);
    options.log.error({ err: fault, requestId, method: request.method, route }, errorText(fault));
    return faultResponse(requestId);
  });
  if (options.asyncApi !== undefined) app.use(asyncApiRoutes(options.asyncApi));
  // The result of `use` is the same app, with the types of its routes.
  return app
    .use(healthRoutes(options.app, options.checks ?? []))
    .use(metricsRoute(options.metrics))
    .use(openApiRoutes(app, options));
}

/** Elysia wraps an error of the parser in one of its own. */
function causeIn(error: unknown, code: unknown): unknown {
  if (code !== "PARSE") return error;
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof ServiceError) return cause;
  return new ServiceError("malformed", "malformed-body", "The body could not be read.");
}

function noRoute(request: Request, path: string, app: AnyElysia): HttpProblem {
  const allowed = allowedMethods(app.routes, path);
  if (allowed.length === 0) return new HttpProblem(404, "not-found", "There is nothing at this path.");
  if (allowed.includes(request.method)) {
    const headers = { upgrade: "websocket", connection: "Upgrade" };
    return new HttpProblem(426, "upgrade-required", "This path is a WebSocket.", headers);
  }
  const allow = allowed.join(", ");
  return new HttpProblem(405, "method-not-allowed", `This path takes ${allow}, not ${request.method}.`, {
    allow,
  });
}

/** The methods that a path supports (RFC 9110 §15.5.6); none when no route has this path. */
function allowedMethods(
  routes: readonly { readonly method: string; readonly path: string }[],
  path: string,
): string[] {
  const methods = new Set<string>();
  for (const route of routes) {
    if (!matches(route.path, path)) continue;
    // A WebSocket is opened with GET. HEAD is supported wherever GET is.
    const method = route.method === "WS" ? "GET" : route.method;
    methods.add(method);
    if (method === "GET") methods.add("HEAD");
  }
  return [...methods].sort();
}

function matches(pattern: string, path: string): boolean {
  const wanted = segments(pattern);
  const given = segments(path);
  for (const [index, segment] of wanted.entries()) {
    if (segment === "*") return true;
    const value = given[index];
    if (segment.startsWith(":")) {
      if (!value && !segment.endsWith("?")) return false;
    } else if (segment !== value) return false;
  }
  return given.length <= wanted.length;
}

/** The router ignores one trailing slash, but no other empty segment. */
function segments(path: string): string[] {
  return path.replace(/^\//, "").replace(/\/$/, "").split("/");
}
