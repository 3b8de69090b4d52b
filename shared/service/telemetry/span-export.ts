import { errorText } from "@distributed-messaging/messaging";
import type { Logger } from "../log.ts";
import type { Metrics } from "./metrics.ts";
import { encodeSpans, type FinishedSpan } from "./otlp.ts";
import { childOf, type TraceContext } from "./tracing.ts";

export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** How a piece of work ended. */
export interface SpanEnd {
  /** In place of the name that it began with, when only its end knows it. */
  readonly name?: string;
  readonly attributes?: Attributes;
  /** Marks it as failed. */
  readonly error?: unknown;
}

/** A piece of work that is under way. */
export interface Span {
  readonly context: TraceContext;
  /** Ends it, once; later calls do nothing. Never throws and never waits. */
  end(outcome?: SpanEnd): void;
}

export interface Tracer {
  /** Begins a span below `parent`, or a trace. */
  startSpan(name: string, kind: SpanKind, parent?: TraceContext): Span;
  /** How many spans were thrown away because the collector did not keep up. */
  readonly dropped: number;
  /** Sends what is left, for at most this long. */
  stop(remainingMs: number): Promise<void>;
}

export interface TracerOptions {
  /** The service's name. */
  readonly app: string;
  /** The collector's base URL, as OTEL_EXPORTER_OTLP_ENDPOINT gives it: `/v1/traces` is added to it. */
  readonly endpoint: string;
  readonly log: Logger;
  readonly metrics?: Pick<Metrics, "total">;
  /** Time between two sends in milliseconds. */
  readonly intervalMs?: number;
}

const MAX_QUEUE = 2048;
const MAX_BATCH = 256;
const SEND_TIMEOUT_MS = 5000;
const INTERVAL_MS = 2000;

/**
 * A tracer that sends its spans to an OpenTelemetry collector in batches (OTLP/HTTP, JSON). The service comes
 * first: at most MAX_QUEUE spans wait, further ones are dropped and counted, and no failure to send is more
 * than one line in the log.
 */
export function createTracer(options: TracerOptions): Tracer {
  const exporter = new SpanExporter(options);
  options.metrics?.total(
    "trace_spans_dropped_total",
    "Spans that were thrown away because the collector did not keep up",
    () => exporter.dropped,
  );
  return {
    startSpan: (name, kind, parent) => startSpan(exporter, name, kind, parent),
    get dropped() {
      return exporter.dropped;
    },
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
  readonly #queue: FinishedSpan[] = [];
  readonly #url: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #sending: Promise<boolean> | undefined;
  #failing = false;

  constructor(readonly options: TracerOptions) {
    this.#url = `${options.endpoint.replace(/\/+$/, "")}/v1/traces`;
    this.#timer = setInterval(() => void this.#send(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  add(span: FinishedSpan): void {
    if (this.#queue.length >= MAX_QUEUE) {
      this.dropped++;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= MAX_BATCH && !this.#failing) void this.#send();
  }

  async stop(remainingMs: number): Promise<void> {
    clearInterval(this.#timer);
    const deadline = performance.now() + remainingMs;
    while (this.#queue.length > 0 || this.#sending !== undefined) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || !(await this.#send(leftMs))) break;
    }
    this.dropped += this.#queue.length;
    this.#queue.length = 0;
  }

  /** Sends one batch, one at a time; tells whether the collector took it. */
  #send(timeoutMs = SEND_TIMEOUT_MS): Promise<boolean> {
    this.#sending ??= this.#sendBatch(timeoutMs).finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #sendBatch(timeoutMs: number): Promise<boolean> {
    const batch = this.#queue.slice(0, MAX_BATCH);
    if (batch.length === 0) return true;
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: encodeSpans(this.options.app, batch),
        signal: AbortSignal.timeout(Math.min(SEND_TIMEOUT_MS, Math.ceil(timeoutMs))),
      });
      await response.body?.cancel();
      // A batch that the collector refuses for what it is would be refused for ever.
      const taken =
        response.ok || (response.status >= 400 && response.status < 500 && response.status !== 429);
      if (!response.ok && taken) this.dropped += batch.length;
      if (taken) this.#queue.splice(0, batch.length);
      this.#report(response.ok ? undefined : `it answered ${response.status}`);
      return taken;
    } catch (error) {
      this.#report(errorText(error));
      return false;
    }
  }

  /** One line when it begins to fail and one when it works again, however long it takes. */
  #report(failure: string | undefined): void {
    const { log } = this.options;
    if (failure !== undefined && !this.#failing)
      log.warn(`the trace collector cannot be reached: ${failure}`);
    if (failure === undefined && this.#failing) log.info("the trace collector takes spans again");
    this.#failing = failure !== undefined;
  }
}
