import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { type Message, type Trace, traceOf } from "./contract/envelope.ts";
import { errorText } from "./errors.ts";
import { formatTraceparent, parseTraceparent } from "./trace-context.ts";

/*
 * The spans of a service's messages, by OpenTelemetry's semantic conventions for messaging and Kafka
 * (https://opentelemetry.io/docs/specs/semconv/messaging/kafka/). The context of a message is that of the span that
 * emitted it, in its envelope and in the headers of its record: it is on disk with the message, so the spans of the
 * send and of everything behind it belong to the trace however much later they begin. Whether a trace is recorded is
 * decided where it begins: of one that is not, no span is begun and no sampler is asked, which would be most of what
 * tracing costs where few traces are recorded.
 */

/** Where a message was read, as far as it is known. */
interface Place {
  readonly topic: string;
  readonly partition?: number;
  readonly offset?: number;
  readonly key?: string | null;
}

/** How a message came to be handled. */
export interface Arrival {
  /** When the batch that it was read with arrived, in milliseconds since the epoch. */
  readonly receivedAtMs?: number;
  /** The dead letter that is replayed or released. */
  readonly deadLetter?: number;
  /** The request of the operator who replays it. */
  readonly requestedBy?: Trace;
}

export class Tracing {
  readonly #tracer: Tracer;
  /** The consumer group. */
  readonly #group: string;

  constructor(tracer: Tracer, group: string) {
    this.#tracer = tracer;
    this.#group = group;
  }

  /**
   * Begins the span of a message that is handled. It is ended after the commit; a try that is rolled back is not
   * recorded by it.
   *
   * @returns undefined when the trace is not recorded
   */
  process(message: Message, place: Place, arrival: Arrival): Span | undefined {
    const { deadLetter, receivedAtMs, requestedBy } = arrival;
    const operation = deadLetter === undefined ? "process" : "replay";
    const requested = requestedBy && spanContextOf(requestedBy);
    const links: Link[] = requested === undefined ? [] : [{ context: requested }];
    const span = this.#start(`${operation} ${place.topic}`, { kind: SpanKind.CONSUMER, links }, message);
    if (span === undefined) return undefined;
    const attributes = this.#attributes(operation, "process", place);
    attributes["messaging.message.id"] = message.id;
    attributes["messaging.message.conversation_id"] = message.correlationid;
    attributes["cloudevents.event_type"] = message.type;
    if (deadLetter !== undefined) attributes["messaging.dead_letter.id"] = deadLetter;
    span.setAttributes(attributes);
    if (receivedAtMs !== undefined) {
      const options = { kind: SpanKind.CONSUMER, startTime: receivedAtMs };
      const received = this.#start(`receive ${place.topic}`, options, message);
      received?.setAttributes(this.#attributes("receive", "receive", place)).end();
    }
    return span;
  }

  /** Records a try that failed, or a message that was parked without one. */
  failed(record: Place & { readonly headers: Readonly<Record<string, string>> }, error: string): void {
    const span = this.#start(`process ${record.topic}`, { kind: SpanKind.CONSUMER }, record.headers);
    span?.setAttributes(this.#attributes("process", "process", record));
    fail(span, error);
  }

  /** Records that the relay sent a message of a recorded trace. @param error why the broker refused it */
  sent(
    { topic, key, headers }: { topic: string; key: string | null; headers: Trace },
    startedAtMs: number,
    error?: string,
  ): void {
    if (!isSampled(headers)) return;
    const span = this.#start(`send ${topic}`, { kind: SpanKind.PRODUCER, startTime: startedAtMs }, headers);
    span?.setAttributes(this.#attributes("send", "send", { topic, key }));
    if (error === undefined) span?.end();
    else fail(span, error);
  }

  /** The span of work that a request waits for, from its queue to its commit. */
  unitOfWork(cause: Trace): Span | undefined {
    return isSampled(cause) ? this.#start("unit of work", {}, cause) : undefined;
  }

  /** The span of a try of an effect, or of a timer that fires. */
  internal(name: string, cause: Trace, attributes: Attributes): Span | undefined {
    return isSampled(cause) ? this.#start(name, { attributes }, cause) : undefined;
  }

  #start(name: string, options: SpanOptions, cause: Trace): Span | undefined {
    if (isUnsampled(cause)) return undefined;
    const span = this.#tracer.startSpan(name, options, contextOf(cause));
    return span.isRecording() ? span : undefined;
  }

  #attributes(name: string, type: string, { topic, partition, offset, key }: Place): Attributes {
    const attributes: Attributes = {
      "messaging.system": "kafka",
      "messaging.operation.name": name,
      "messaging.operation.type": type,
      "messaging.destination.name": topic,
    };
    if (type !== "send") attributes["messaging.consumer.group.name"] = this.#group;
    if (partition !== undefined) attributes["messaging.destination.partition.id"] = String(partition);
    if (offset !== undefined) attributes["messaging.kafka.offset"] = offset;
    if (typeof key === "string") attributes["messaging.kafka.message.key"] = key;
    return attributes;
  }
}

/** Ends a span as failed. */
export function fail(span: Span | undefined, error: unknown): void {
  if (span === undefined) return;
  const message = typeof error === "string" ? error : errorText(error);
  span.recordException(error instanceof Error ? error : message);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
  span.end();
}

/** Runs a function with a span as the active one, for spans that the function begins itself. */
export function within<T>(span: Span | undefined, run: () => T): T {
  return span === undefined ? run() : context.with(trace.setSpan(context.active(), span), run);
}

/** The trace that what is caused within a span belongs to; without one, that of its own cause. */
export function traceWithin(span: Span | undefined, cause: Trace): Trace & Record<string, string> {
  if (span === undefined) return traceOf(cause);
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
  const tracestate = traceState?.serialize();
  return {
    traceparent: formatTraceparent({ traceId, spanId, sampled }),
    ...(tracestate === undefined || tracestate === "" ? {} : { tracestate }),
  };
}

/** The trace of a row, in which what is absent is null. */
export function storedTrace({
  traceparent,
  tracestate,
}: Readonly<Record<keyof Trace, string | null>>): Trace {
  return {
    ...(traceparent === null ? {} : { traceparent }),
    ...(tracestate === null ? {} : { tracestate }),
  };
}

/** The context of a message or a request, as the parent of spans. */
export function contextOf(cause: Trace): Context {
  const spanContext = spanContextOf(cause);
  return spanContext === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
}

function spanContextOf({ traceparent, tracestate }: Trace): SpanContext | undefined {
  const parsed = parseTraceparent(traceparent);
  if (parsed === undefined) return undefined;
  return {
    traceId: parsed.traceId,
    spanId: parsed.spanId,
    traceFlags: parsed.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(tracestate === undefined ? {} : { traceState: createTraceState(tracestate) }),
  };
}

function isSampled({ traceparent }: Trace): boolean {
  return parseTraceparent(traceparent)?.sampled === true;
}

/** Not so for what belongs to no trace: that begins one, and a sampler decides about it. */
function isUnsampled({ traceparent }: Trace): boolean {
  return parseTraceparent(traceparent)?.sampled === false;
}
