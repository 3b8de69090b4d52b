import type { Attributes, SpanKind } from "./span-export.ts";
import type { TraceContext } from "./tracing.ts";

/** A span that has ended. Times are milliseconds since the epoch, with fractions. */
export interface FinishedSpan extends TraceContext {
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly attributes: Attributes;
  readonly error?: string;
}

/** opentelemetry.proto.trace.v1.Span.SpanKind */
const KIND: Readonly<Record<SpanKind, number>> = {
  internal: 1,
  server: 2,
  client: 3,
  producer: 4,
  consumer: 5,
};
/** opentelemetry.proto.trace.v1.Status.StatusCode.STATUS_CODE_ERROR */
const STATUS_ERROR = 2;

/**
 * An ExportTraceServiceRequest in OTLP's JSON: ids in hex, 64-bit numbers as strings.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
export function encodeSpans(service: string, spans: readonly FinishedSpan[]): string {
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
    kind: KIND[span.kind],
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

/** In two steps: milliseconds times a million is more than a number holds exactly. */
function nanoseconds(ms: number): string {
  const wholeMs = Math.floor(ms);
  return String(BigInt(wholeMs) * 1_000_000n + BigInt(Math.round((ms - wholeMs) * 1e6)));
}
