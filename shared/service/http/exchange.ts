import {
  type Cause,
  childOf,
  contextOf,
  errorText,
  formatTraceparent,
  parseTraceparent,
  type TraceContext,
} from "@distributed-messaging/messaging";
import { type Span, SpanKind, SpanStatusCode, TraceFlags, type Tracer } from "@opentelemetry/api";
import { ServiceError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { type AllowedSources, refuseForeign } from "./foreign.ts";
import { refuseDeclaredLength } from "./input.ts";
import { faultResponse, refusalResponse } from "./problem.ts";

/** What logs, metrics and traces record of a request and its response. */
interface Exchange {
  /** The span of the request. */
  readonly context: TraceContext;
  /** The trace id: an error response shows it, and the logs of every service contain it. */
  readonly requestId: string;
  /** The pattern of the route that serves the request. */
  route: string;
}

interface ServerOptions {
  readonly app: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer?: Tracer;
  readonly allowed?: AllowedSources;
}

type Fetch = (request: Request) => Promise<Response | undefined> | Response | undefined;

/** The route label of a request without a route: its path could be anything, and each would be a time series. */
const NO_ROUTE = "none";

const exchanges = new WeakMap<Request, Exchange>();

/** The exchange that a request belongs to. */
export function exchangeOf(request: Request): Exchange {
  return exchanges.get(request) ?? begin(request, childOf(callerOf(request)));
}

/** The cause of the messages that a request emits: its trace. */
export function causeOf(request: Request): Cause {
  const { context, requestId } = exchangeOf(request);
  const tracestate = tracestateOf(request);
  return {
    correlationId: requestId,
    causationId: requestId,
    traceparent: formatTraceparent(context),
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

function begin(request: Request, context: TraceContext): Exchange {
  const exchange = { context, requestId: context.traceId, route: NO_ROUTE };
  exchanges.set(request, exchange);
  return exchange;
}

/** The caller's `tracestate`, which counts only beside a valid `traceparent`; longer ones may be dropped (§3.3.1.5). */
function tracestateOf(request: Request): string | undefined {
  const tracestate = request.headers.get("tracestate") ?? "";
  const isUsable = tracestate !== "" && tracestate.length <= 512 && callerOf(request) !== undefined;
  return isUsable ? tracestate : undefined;
}

function callerOf(request: Request): TraceContext | undefined {
  return parseTraceparent(request.headers.get("traceparent"));
}

/**
 * Takes a request through the app: it is counted, timed, traced and logged, and its response gets the headers that
 * every response has. Never throws. Returns undefined for a request that became a WebSocket.
 */
export async function serveExchange(
  request: Request,
  fetch: Fetch,
  { log, metrics, tracer, allowed = {} }: ServerOptions,
): Promise<Response | undefined> {
  const startedAt = performance.now();
  const caller = callerOf(request);
  const span = tracer && beginSpan(tracer, request);
  const exchange = begin(request, span === undefined ? childOf(caller) : traceContextOf(span));
  const response = await answer(request, fetch, exchange, log, allowed);
  const status = response?.status ?? 101;
  const seconds = (performance.now() - startedAt) / 1000;
  const { route, context } = exchange;
  metrics.request(request.method, route, status, seconds);
  if (span?.isRecording() === true) endSpan(span, request, route, status);
  if (log.isLevelEnabled("debug")) {
    // Not the URL: its query may contain a token.
    log.debug(
      { method: request.method, route, status, ms: Math.round(seconds * 1e6) / 1e3, ...context },
      "request",
    );
  }
  if (response !== undefined) addHeaders(response, formatTraceparent(context));
  return response;
}

/** By OpenTelemetry's semantic conventions for HTTP. */
function beginSpan(tracer: Tracer, request: Request): Span {
  const tracestate = tracestateOf(request);
  const caller = {
    traceparent: request.headers.get("traceparent") ?? "",
    ...(tracestate === undefined ? {} : { tracestate }),
  };
  return tracer.startSpan(request.method, { kind: SpanKind.SERVER }, contextOf(caller));
}

function endSpan(span: Span, request: Request, route: string, status: number): void {
  span.updateName(`${request.method} ${route}`);
  span.setAttributes({
    "http.request.method": request.method,
    "http.route": route,
    "http.response.status_code": status,
  });
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR, message: `answered ${status}` });
  span.end();
}

function traceContextOf(span: Span): TraceContext {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 };
}

async function answer(
  request: Request,
  fetch: Fetch,
  exchange: Exchange,
  log: Logger,
  allowed: AllowedSources,
): Promise<Response | undefined> {
  try {
    refuseInvalidHost(request);
    refuseForeign(request, allowed);
    prepareUpgrade(request);
    refuseDeclaredLength(request);
    if (request.method !== "HEAD") return await fetch(request);
    return withoutBody(await fetch(asGet(request, exchange)));
  } catch (error) {
    if (error instanceof ServiceError) return refusalResponse(error);
    const { requestId, route } = exchange;
    log.error({ err: error, requestId, method: request.method, route }, errorText(error));
    return faultResponse(requestId);
  }
}

/** RFC 9112 §3.2 requires a 400. */
function refuseInvalidHost(request: Request): void {
  // With an invalid Host header, Bun sets the URL to a bare path; several of them it joins.
  if (!/^https?:\/\/[^/]/.test(request.url) || request.headers.get("host")?.includes(",") === true) {
    throw new ServiceError("malformed", "malformed-request", "The Host header is not one host.");
  }
}

/** RFC 6455 §4.2.1: sixteen bytes in base64. */
const SOCKET_KEY = /^[A-Za-z0-9+/]{22}==$/;

/** Refuses a WebSocket handshake that Bun would not answer, and makes Elysia recognise any other. */
function prepareUpgrade(request: Request): void {
  const upgrade = request.headers.get("upgrade");
  if (upgrade?.toLowerCase() !== "websocket") return;
  // Bun neither upgrades nor answers it, and keeps the connection until its idle timeout.
  if (!SOCKET_KEY.test(request.headers.get("sec-websocket-key") ?? "")) {
    throw new ServiceError("malformed", "malformed-handshake", "Sec-WebSocket-Key is not a key.");
  }
  // Elysia compares in lower case; the RFC allows any case.
  if (upgrade !== "websocket") request.headers.set("upgrade", "websocket");
}

/** The response to HEAD is that to GET without its body (RFC 9110 §9.3.2). */
function asGet(request: Request, exchange: Exchange): Request {
  const get = new Request(request.url, { method: "GET", headers: request.headers, signal: request.signal });
  exchanges.set(get, exchange);
  return get;
}

function withoutBody(response: Response | undefined): Response | undefined {
  if (response === undefined) return undefined;
  return new Response(null, { status: response.status, headers: response.headers });
}

const HEADERS: readonly (readonly [string, string])[] = [
  ["x-content-type-options", "nosniff"],
  ["x-frame-options", "DENY"],
  ["referrer-policy", "no-referrer"],
  ["cross-origin-resource-policy", "same-origin"],
  ["content-security-policy", "default-src 'self'; base-uri 'none'; frame-ancestors 'none'"],
  ["cache-control", "no-store"],
];

/** A header that the route set is kept. */
function addHeaders(response: Response, traceparent: string): void {
  for (const [name, value] of HEADERS) if (!response.headers.has(name)) response.headers.set(name, value);
  response.headers.set("traceparent", traceparent);
}
