/**
 * Where a piece of work stands in a trace: W3C Trace Context, level 1.
 * https://www.w3.org/TR/trace-context/#traceparent-header
 */
export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Reads a `traceparent`; undefined when it is absent or breaks the spec (§3.2), which then starts a new trace. */
export function parseTraceparent(header: string | null | undefined): TraceContext | undefined {
  // 55 characters in version 00; a later version may add to it, and nobody needs a kilobyte.
  if (header === null || header === undefined || header.length > 256) return undefined;
  const [, version, traceId, spanId, flags, rest] = TRACEPARENT.exec(header.trim()) ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined)
    return undefined;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Writes a context as version 00. */
export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`;
}

/** The first span of a new trace. */
export function newTrace(): TraceContext {
  return { traceId: randomHex(16), spanId: randomHex(8), sampled: true };
}

/** A span below another one; the first of a new trace when there is none. */
export function childOf(parent: TraceContext | undefined): TraceContext {
  if (parent === undefined) return newTrace();
  return { traceId: parent.traceId, spanId: randomHex(8), sampled: parent.sampled };
}

/** Randomness fetched in advance: asking for it eight bytes at a time was a seventh of a request's cost. */
const pool = Buffer.alloc(4096);
let used = pool.length;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  const hex = pool.toString("hex", used, used + bytes);
  used += bytes;
  // All zeroes is not an id (§3.2.2.3), and a random source may give it.
  return /^0+$/.test(hex) ? randomHex(bytes) : hex;
}

const contexts = new WeakMap<Request, TraceContext>();

/** Remembers the span in which a request is served. */
export function setTraceOf(request: Request, context: TraceContext): void {
  contexts.set(request, context);
}

/** The span in which this request is served: what a message that it causes names as its parent. */
export function traceOf(request: Request): TraceContext {
  let context = contexts.get(request);
  if (context === undefined) {
    context = childOf(parseTraceparent(request.headers.get("traceparent")));
    contexts.set(request, context);
  }
  return context;
}
