import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { UsageError } from "../errors.ts";
import { faultsOf, type MessageDefinition } from "./define.ts";

/**
 * The envelope: CloudEvents 1.0 in structured JSON mode, with the distributed tracing extension and two
 * extensions of our own. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export interface Message<Type extends string = string, Data = unknown> extends Trace {
  readonly specversion: "1.0";
  /** A UUID; of another producer, any text that is unique for its source. */
  readonly id: string;
  /** The service that emitted it. */
  readonly source: string;
  readonly type: Type;
  /** The partition key: messages of one subject are handled in the order in which they were emitted. */
  readonly subject: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly datacontenttype: "application/json";
  readonly data: Data;
  /** The id of the message or request at the start of the causal chain. */
  readonly correlationid: string;
  /** The id of the message, the timer or the request whose handling emitted this one. */
  readonly causationid: string;
}

/** The same as JSON Schema, whatever the data. */
export const Envelope = Type.Object(
  {
    specversion: Type.Literal("1.0"),
    id: Type.String({ pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" }),
    source: Type.String({ minLength: 1, maxLength: 256 }),
    type: Type.String({ minLength: 1, maxLength: 256 }),
    subject: Type.String({ minLength: 1, maxLength: 256 }),
    time: Type.String({
      pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$",
    }),
    datacontenttype: Type.Literal("application/json"),
    data: Type.Unknown(),
    correlationid: Type.String({ minLength: 1, maxLength: 256 }),
    causationid: Type.String({ minLength: 1, maxLength: 256 }),
    traceparent: Type.Optional(Type.String({ maxLength: 256 })),
    tracestate: Type.Optional(Type.String({ maxLength: 512 })),
  },
  // Open: intermediaries may add extension attributes (CloudEvents §3.1).
  { additionalProperties: true },
);

/** Whether a value is an envelope. */
export const envelopeCheck = TypeCompiler.Compile(Envelope);

export type MessageOf<Definition> =
  Definition extends MessageDefinition<infer Name, infer Data> ? Message<Name, Static<Data>> : never;

export type DataOf<Definition> =
  Definition extends MessageDefinition<string, infer Data> ? Static<Data> : never;

/** A record as it goes to the broker. */
export interface EncodedMessage {
  readonly topic: string;
  readonly key: string;
  readonly value: string;
  readonly headers: Readonly<Record<string, string>>;
}

export const CONTENT_TYPE = "application/cloudevents+json";

/** Longer messages are neither emitted nor handled. */
export const MAX_MESSAGE_BYTES = 256 * 1024;

/** A message to be emitted violates its own contract: a defect of the code, never of input. */
export class ContractViolation extends UsageError {
  override readonly name = "ContractViolation";
}

/** W3C Trace Context (https://www.w3.org/TR/trace-context/): also headers of the record, for tools that read those. */
export interface Trace {
  readonly traceparent?: string;
  /** At most 512 characters. */
  readonly tracestate?: string;
}

/** The attributes that depend on who emits a message, when and why. */
export interface Origin extends Trace {
  readonly id: string;
  readonly source: string;
  readonly time: string;
  readonly correlationid: string;
  readonly causationid: string;
}

/**
 * Puts data into its envelope. What it accepts, `decode` accepts.
 *
 * @throws ContractViolation when the data does not match the definition's schema, or an attribute that of the envelope:
 *   the key is empty, say, or longer than 256 characters
 */
export function message<Name extends string, Data extends TSchema>(
  definition: MessageDefinition<Name, Data>,
  data: Static<Data>,
  origin: Origin,
): Message<Name, Static<Data>> {
  if (!definition.check.Check(data)) {
    throw new ContractViolation(`${definition.type}: ${faultsOf(definition.check, data)}`);
  }
  const envelope: Message<Name, Static<Data>> = {
    specversion: "1.0",
    type: definition.type,
    subject: definition.keyOf(data),
    datacontenttype: "application/json",
    ...origin,
    data,
  };
  if (!envelopeCheck.Check(envelope)) {
    throw new ContractViolation(`${definition.type}: ${faultsOf(envelopeCheck, envelope)}`);
  }
  // As bytes, such a key would be another one than in the envelope.
  if (!envelope.subject.isWellFormed()) {
    throw new ContractViolation(`${definition.type}: the key has half of a surrogate pair`);
  }
  return envelope;
}

/** Serialises a message for its topic. @throws ContractViolation when it is longer than MAX_MESSAGE_BYTES */
export function encode(definition: MessageDefinition, envelope: Message): EncodedMessage {
  const value = JSON.stringify(envelope);
  if (Buffer.byteLength(value) > MAX_MESSAGE_BYTES) {
    throw new ContractViolation(`${definition.type}: longer than ${MAX_MESSAGE_BYTES} bytes`);
  }
  return {
    topic: definition.topic.name,
    key: envelope.subject,
    value,
    headers: { "content-type": CONTENT_TYPE, ...traceOf(envelope) },
  };
}

/** The trace context of a message or a cause, where it has one. */
export function traceOf({ traceparent, tracestate }: Trace): Trace & Record<string, string> {
  const trace: { traceparent?: string; tracestate?: string } & Record<string, string> = {};
  if (traceparent !== undefined) trace.traceparent = traceparent;
  if (tracestate !== undefined) trace.tracestate = tracestate;
  return trace;
}

/** A message that a decision wants emitted: its definition and its data, without an envelope. */
export interface Emission<Definition extends MessageDefinition = MessageDefinition> {
  readonly definition: Definition;
  readonly data: DataOf<Definition>;
}

export function emission<Definition extends MessageDefinition>(
  definition: Definition,
  data: DataOf<Definition>,
): Emission<Definition> {
  return { definition, data };
}
