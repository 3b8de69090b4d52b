import { childOf, type TraceContext } from "./tracing.ts";

export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** A piece of work that is under way. */
export interface Span {
  readonly context: TraceContext;
  /** Ends it, once; later calls do nothing. `error` marks it as failed. */
  end(attributes?: Attributes, error?: unknown): void;
}

export interface Tracer {
  /** Begins a span below `parent`, or a trace. */
  startSpan(name: string, kind: SpanKind, parent?: TraceContext): Span;
  /** How many spans were thrown away because the collector did not keep up. */
  readonly dropped: number;
  /** Sends what is left, for at most this long. */
  stop(remainingMs: number): Promise<void>;
}

/** A tracer that makes ids and keeps nothing: what runs when no collector is configured. */
export const silentTracer: Tracer = {
  startSpan: (_name, _kind, parent) => ({ context: childOf(parent), end() {} }),
  dropped: 0,
  async stop() {},
};
