import { errorText } from "@distributed-messaging/messaging";
import { ServiceError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracer } from "../telemetry/span-export.ts";
import { childOf, formatTraceparent, parseTraceparent, setTraceOf, traceOf } from "../telemetry/tracing.ts";
import { refuseDeclaredLength } from "./json-body.ts";
import { explain, explainFault, problemResponse } from "./problem.ts";

/** One request and its answer, as logs, metrics and traces see it. */
export interface Exchange {
  /** The trace's id: what an error answer shows and what the logs of every service have. */
  readonly requestId: string;
  /** The pattern of the route that serves it. */
  route: string;
}

interface Watchers {
  readonly app: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer?: Tracer;
}

type Fetch = (request: Request) => Promise<Response | undefined> | Response | undefined;

/** The route label of what no route serves: any other word would be the caller's to choose. */
const NO_ROUTE = "none";

const exchanges = new WeakMap<Request, Exchange>();

/** The exchange that a request belongs to. */
export function exchangeOf(request: Request): Exchange {
  let exchange = exchanges.get(request);
  if (exchange === undefined) {
    exchange = { requestId: traceOf(request).traceId, route: NO_ROUTE };
    exchanges.set(request, exchange);
  }
  return exchange;
}

/**
 * Takes a request through the app: counted, timed, traced, logged, with the headers that every answer has.
 * Never throws. Gives undefined for a request that became a WebSocket.
 */
export async function serveExchange(
  request: Request,
  fetch: Fetch,
  watchers: Watchers,
): Promise<Response | undefined> {
  const startedAt = performance.now();
  const parent = parseTraceparent(request.headers.get("traceparent"));
  const span = watchers.tracer?.startSpan(request.method, "server", parent);
  const context = span?.context ?? childOf(parent);
  setTraceOf(request, context);
  const exchange = exchangeOf(request);
  const response = await answer(request, fetch, exchange, watchers.log);
  const status = response?.status ?? 101;
  const seconds = (performance.now() - startedAt) / 1000;
  const { route } = exchange;
  watchers.metrics.request(request.method, route, status, seconds);
  span?.end({
    name: `${request.method} ${route}`,
    attributes: {
      "http.request.method": request.method,
      "http.route": route,
      "http.response.status_code": status,
    },
    ...(status >= 500 ? { error: `answered ${status}` } : {}),
  });
  if (watchers.log.isLevelEnabled("debug")) {
    // The route and not the URL: a query may hold a token.
    watchers.log.debug(
      { method: request.method, route, status, ms: Math.round(seconds * 1e6) / 1e3, ...context },
      "request",
    );
  }
  if (response !== undefined) addHeaders(response, formatTraceparent(context));
  return response;
}

async function answer(
  request: Request,
  fetch: Fetch,
  exchange: Exchange,
  log: Logger,
): Promise<Response | undefined> {
  try {
    refuseStrangeUrl(request);
    prepareUpgrade(request);
    refuseDeclaredLength(request);
    if (request.method !== "HEAD") return await fetch(request);
    return withoutBody(await fetch(asGet(request)));
  } catch (error) {
    if (error instanceof ServiceError) return problemResponse(explain(error));
    log.error({ err: error, requestId: exchange.requestId, route: exchange.route }, errorText(error));
    return problemResponse(explainFault(exchange.requestId));
  }
}

/** Bun gives a bare path as the URL when the Host header makes no sense (RFC 9112 §3.2 asks for a 400). */
function refuseStrangeUrl(request: Request): void {
  if (!/^https?:\/\/[^/]/.test(request.url)) {
    throw new ServiceError("malformed", "malformed-request", "The Host header is not a host.");
  }
}

/** RFC 6455 §4.2.1: sixteen bytes in base64. */
const SOCKET_KEY = /^[A-Za-z0-9+/]{22}==$/;

/** Makes sure that what asks to become a WebSocket can, and that Elysia sees that it does. */
function prepareUpgrade(request: Request): void {
  const upgrade = request.headers.get("upgrade");
  if (upgrade?.toLowerCase() !== "websocket") return;
  // Bun would neither upgrade nor answer, and keep the connection until it is idle for too long.
  if (!SOCKET_KEY.test(request.headers.get("sec-websocket-key") ?? "")) {
    throw new ServiceError("malformed", "malformed-handshake", "Sec-WebSocket-Key is not a key.");
  }
  // Elysia knows the word in lower case only; the RFC leaves the case to the client.
  if (upgrade !== "websocket") request.headers.set("upgrade", "websocket");
}

/** A HEAD is answered as a GET without its body (RFC 9110 §9.3.2). */
function asGet(request: Request): Request {
  const get = new Request(request.url, { method: "GET", headers: request.headers, signal: request.signal });
  setTraceOf(get, traceOf(request));
  exchanges.set(get, exchangeOf(request));
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

/** A route that sets one of these itself keeps its own. */
function addHeaders(response: Response, traceparent: string): void {
  for (const [name, value] of HEADERS) if (!response.headers.has(name)) response.headers.set(name, value);
  response.headers.set("traceparent", traceparent);
}
