import { errorText } from "@distributed-messaging/messaging";
import type { Logger } from "../log.ts";
import type { Metrics } from "./metrics.ts";
import { childOf, type TraceContext } from "./trace-context.ts";

/** With the numbers of opentelemetry.proto.trace.v1.Span.SpanKind. */
const SPAN_KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;
type SpanKind = keyof typeof SPAN_KIND;
type Attributes = Readonly<Record<string, string | number | boolean>>;

interface SpanEnd {
  /** Replaces the name of the start, when it is known only at the end. */
  readonly name?: string;
  readonly attributes?: Attributes;
  /** Marks the span as failed. */
  readonly error?: unknown;
}

/** An operation in progress. */
interface Span {
  readonly context: TraceContext;
  /** Ends the span; later calls have no effect. Never throws and never waits. */
  end(outcome?: SpanEnd): void;
}

export interface Tracer {
  /** Starts a span below `parent`, or the first span of a new trace. */
  startSpan(name: string, kind: SpanKind, parent?: TraceContext): Span;
  /** Exports the queued spans within the remaining time, and drops what is left. */
  stop(remainingMs: number): Promise<void>;
}

interface TracerOptions {
  /** The service's name. */
  readonly app: string;
  /** The collector's base URL (OTEL_EXPORTER_OTLP_ENDPOINT); spans are posted to `/v1/traces` below it. */
  readonly endpoint: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Milliseconds between two exports. */
  readonly intervalMs?: number;
}

const MAX_QUEUE = 2048;
const MAX_BATCH = 256;
const EXPORT_TIMEOUT_MS = 5000;
const INTERVAL_MS = 2000;

/**
 * A tracer that exports its spans to an OpenTelemetry collector in batches (OTLP/HTTP, JSON). It never slows the
 * service down: at most MAX_QUEUE spans are queued, further ones are dropped and counted in
 * `trace_spans_dropped_total`, and an outage of the collector is logged once.
 */
export function createTracer(options: TracerOptions): Tracer {
  const exporter = new SpanExporter(options);
  options.metrics.total(
    "trace_spans_dropped_total",
    "Spans dropped because the collector was unavailable, too slow, or refused them",
    () => exporter.dropped,
  );
  return {
    startSpan: (name, kind, parent) => startSpan(exporter, name, kind, parent),
    stop: (remainingMs) => exporter.stop(remainingMs),
  };
}

function startSpan(exporter: SpanExporter, name: string, kind: SpanKind, parent?: TraceContext): Span {
  const context = childOf(parent);
  const startedAtMs = performance.timeOrigin + performance.now();
  let ended = false;
  return {
    context,
    end(outcome = {}) {
      if (ended) return;
      ended = true;
      if (!context.sampled) return;
      exporter.add({
        ...context,
        ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
        name: outcome.name ?? name,
        kind,
        startedAtMs,
        endedAtMs: performance.timeOrigin + performance.now(),
        attributes: outcome.attributes ?? {},
        ...(outcome.error === undefined ? {} : { error: errorText(outcome.error) }),
      });
    },
  };
}

class SpanExporter {
  dropped = 0;
  readonly #options: TracerOptions;
  readonly #queue: FinishedSpan[] = [];
  readonly #url: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #exporting: Promise<boolean> | undefined;
  #failing = false;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#url = `${options.endpoint.replace(/\/+$/, "")}/v1/traces`;
    this.#timer = setInterval(() => void this.#export(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  add(span: FinishedSpan): void {
    if (this.#queue.length >= MAX_QUEUE) {
      this.dropped++;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= MAX_BATCH && !this.#failing) void this.#export();
  }

  async stop(remainingMs: number): Promise<void> {
    clearInterval(this.#timer);
    const deadline = performance.now() + remainingMs;
    while (this.#queue.length > 0 || this.#exporting !== undefined) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || !(await this.#export(leftMs))) break;
    }
    this.dropped += this.#queue.length;
    this.#queue.length = 0;
  }

  /** Exports one batch, one at a time. @returns whether the batch is off the queue */
  #export(timeoutMs = EXPORT_TIMEOUT_MS): Promise<boolean> {
    this.#exporting ??= this.#exportBatch(timeoutMs).finally(() => {
      this.#exporting = undefined;
    });
    return this.#exporting;
  }

  async #exportBatch(timeoutMs: number): Promise<boolean> {
    const batch = this.#queue.slice(0, MAX_BATCH);
    if (batch.length === 0) return true;
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: encodeSpans(this.#options.app, batch),
        signal: AbortSignal.timeout(Math.min(EXPORT_TIMEOUT_MS, Math.ceil(timeoutMs))),
      });
      await response.body?.cancel();
      // Sending the same batch again cannot help after a 4xx other than 429 (Too Many Requests).
      const refused = response.status >= 400 && response.status < 500 && response.status !== 429;
      if (refused) this.dropped += batch.length;
      if (response.ok || refused) this.#queue.splice(0, batch.length);
      this.#report(response.ok ? undefined : `it answered ${response.status}`);
      return response.ok || refused;
    } catch (error) {
      this.#report(errorText(error));
      return false;
    }
  }

  /** Logs the start and the end of an outage, and nothing between. */
  #report(failure: string | undefined): void {
    const { log } = this.#options;
    if (failure !== undefined && !this.#failing) log.warn(`the trace collector is unavailable: ${failure}`);
    if (failure === undefined && this.#failing) log.info("the trace collector is available again");
    this.#failing = failure !== undefined;
  }
}

/** A span that has ended. Times are milliseconds since the epoch, with fractions. */
interface FinishedSpan extends TraceContext {
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly attributes: Attributes;
  readonly error?: string;
}

/** opentelemetry.proto.trace.v1.Status.StatusCode.STATUS_CODE_ERROR */
const STATUS_ERROR = 2;

/**
 * An ExportTraceServiceRequest in OTLP's JSON: ids in hex, 64-bit numbers as strings.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
function encodeSpans(service: string, spans: readonly FinishedSpan[]): string {
  const resource = { attributes: encodeAttributes({ "service.name": service }) };
  const scopeSpans = [{ scope: { name: "distributed-messaging" }, spans: spans.map(encodeSpan) }];
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] });
}

function encodeSpan(span: FinishedSpan): object {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === undefined ? {} : { parentSpanId: span.parentSpanId }),
    name: span.name,
    kind: SPAN_KIND[span.kind],
    startTimeUnixNano: nanoseconds(span.startedAtMs),
    endTimeUnixNano: nanoseconds(span.endedAtMs),
    attributes: encodeAttributes(span.attributes),
    ...(span.error === undefined ? {} : { status: { code: STATUS_ERROR, message: span.error } }),
  };
}

function encodeAttributes(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: encodeValue(value) }));
}

function encodeValue(value: string | number | boolean): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** In two steps: a number cannot represent milliseconds times a million exactly. */
function nanoseconds(ms: number): string {
  const wholeMs = Math.floor(ms);
  return String(BigInt(wholeMs) * 1_000_000n + BigInt(Math.round((ms - wholeMs) * 1e6)));
}
