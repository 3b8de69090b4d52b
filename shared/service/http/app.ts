import { errorText } from "@distributed-messaging/messaging";
import { Elysia, ValidationError } from "elysia";
import { ServiceError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { type Metrics, metricsRoute } from "../telemetry/metrics.ts";
import type { Tracer } from "../telemetry/span-export.ts";
import { exchangeOf, serveExchange } from "./exchange.ts";
import { type HealthCheck, healthRoutes } from "./health.ts";
import { readJson } from "./json-body.ts";
import { openApiRoute } from "./openapi.ts";
import { explain, explainFault, HttpProblem, type ProblemAnswer, problemResponse } from "./problem.ts";
import { allowedMethods } from "./routes.ts";
import { invalidAnswer, invalidInput } from "./validation.ts";

export { MAX_BODY_BYTES } from "./json-body.ts";
export { IntegerParam } from "./params.ts";
export { HttpProblem, type Problem } from "./problem.ts";
export { type Listening, listen } from "./server.ts";
export { write } from "./write.ts";

export interface HttpAppOptions {
  /** The service's name, `order`. */
  readonly app: string;
  /** One sentence for the OpenAPI document. */
  readonly description?: string;
  readonly version?: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer?: Tracer;
  /** What readiness looks at. */
  readonly checks?: readonly HealthCheck[];
}

/**
 * An Elysia app to which a service adds its routes, and which answers by itself:
 *
 * - `/liveness`, `/readiness`, `/metrics`, `/openapi/json`;
 * - every refusal as problem+json (RFC 9457): 400 what cannot be read, 404 and 405 (with Allow), 413 above
 *   MAX_BODY_BYTES, 415 what is not JSON, 422 what breaks its schema, each bad field named;
 * - a fault of ours as 500 with a request id and nothing else; the log has the rest under that id.
 *
 * Routes throw `ServiceError`. Two things are left to a route's schemas: they must be closed
 * (`additionalProperties: false`) to refuse unknown fields, and a body must not be `Type.Optional`, because
 * Elysia lets `{}` pass any optional schema.
 */
export function createHttpApp(options: HttpAppOptions): Elysia {
  const app = new Elysia({
    // "Normalising" would drop unknown fields instead of refusing them, and by the first branch of a union.
    normalize: false,
    // Elysia skips the first 11 characters to find the path, and a Host header may be shorter than that.
    handler: { standardHostname: false },
  });
  app.wrap((fetch, request) => {
    // Elysia types what it hands in as a function that makes functions; it is the fetch of this app.
    const inner = fetch as unknown as (request: Request) => Promise<Response | undefined>;
    return () => serveExchange(request, inner, options);
  });
  app.onParse(({ request, route }) => {
    exchangeOf(request).route = route;
    return request.method === "GET" ? null : readJson(request);
  });
  // Again, for the routes that have no body to parse.
  app.onTransform(({ request, route }) => {
    exchangeOf(request).route = route;
  });
  app.onError(({ request, error, code, path }) => {
    return problemResponse(answerTo({ request, error, code, path }, app, options));
  });
  app.use(healthRoutes(options.app, options.checks ?? []));
  app.use(metricsRoute(options.metrics));
  app.use(openApiRoute(app, options));
  return app;
}

interface Failure {
  readonly request: Request;
  readonly error: unknown;
  readonly code: unknown;
  readonly path: string;
}

function answerTo(failure: Failure, app: Elysia, { log }: HttpAppOptions): ProblemAnswer {
  const refusal = refusalOf(failure, app);
  if (refusal !== undefined) return explain(refusal);
  const error = failure.error instanceof ValidationError ? invalidAnswer(failure.error) : failure.error;
  const { requestId, route } = exchangeOf(failure.request);
  log.error({ err: error, requestId, method: failure.request.method, route }, errorText(error));
  return explainFault(requestId);
}

/** The refusal that an error means; undefined when it is a fault of ours. */
function refusalOf(
  { request, error, code, path }: Failure,
  app: Elysia,
): ServiceError | HttpProblem | undefined {
  if (error instanceof ServiceError || error instanceof HttpProblem) return error;
  // A response that breaks its schema is a fault of ours, whatever it is called.
  if (error instanceof ValidationError) return error.type === "response" ? undefined : invalidInput(error);
  if (code === "PARSE") {
    // Elysia wraps whatever the parser throws.
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof ServiceError) return cause;
    return new ServiceError("malformed", "malformed-body", "The body could not be read.");
  }
  if (code === "NOT_FOUND") return nothingAt(request, path, app);
  return undefined;
}

function nothingAt(request: Request, path: string, app: Elysia): HttpProblem {
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
