import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import type { Topic } from "./topics.ts";

/**
 * The envelope: CloudEvents 1.0 in structured JSON mode, with the distributed tracing extension and two
 * extensions of our own. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export interface Message<Type extends string = string, Data = unknown> {
  readonly specversion: "1.0";
  /** UUIDv7, unique for every message ever emitted: what an inbox remembers. */
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
  /** The id of the message, or of the request, that began it all. */
  readonly correlationid: string;
  /** The id of the message, or of the request, whose handling emitted this one. */
  readonly causationid: string;
  /** W3C Trace Context. */
  readonly traceparent?: string;
}

/** A kind of message: its type, where it travels, what it carries. */
export interface MessageDefinition<Name extends string = string, Data extends TSchema = TSchema> {
  readonly type: Name;
  readonly kind: "command" | "event";
  readonly topic: Topic;
  readonly data: Data;
  /** The partition key of a message with this data. */
  keyOf(data: Static<Data>): string;
  readonly check: TypeCheck<Data>;
}

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

/** Longer messages are refused on both sides: ten times the longest that the store can make. */
export const MAX_MESSAGE_BYTES = 256 * 1024;

/** A message broke its own contract on the way out: a programming error, never the sender's input. */
export class ContractViolation extends Error {
  override readonly name = "ContractViolation";
}

/**
 * Defines a kind of message.
 *
 * @param options.type the versioned name, `store.order.placed.v1`
 * @param options.key the field of the data that is its partition key
 */
export function define<const Name extends string, Data extends TSchema>(options: {
  type: Name;
  kind: "command" | "event";
  topic: Topic;
  key: keyof Static<Data> & string;
  data: Data;
}): MessageDefinition<Name, Data> {
  const { key, ...definition } = options;
  return {
    ...definition,
    keyOf: (data) => String((data as Record<string, unknown>)[key]),
    check: TypeCompiler.Compile(options.data),
  };
}

/** What only the place that emits a message knows. */
export interface Origin {
  readonly id: string;
  readonly source: string;
  readonly time: string;
  readonly correlationid: string;
  readonly causationid: string;
  readonly traceparent?: string;
}

/**
 * Puts data into its envelope.
 *
 * @throws ContractViolation when the data does not match the definition's schema
 */
export function message<Name extends string, Data extends TSchema>(
  definition: MessageDefinition<Name, Data>,
  data: Static<Data>,
  origin: Origin,
): Message<Name, Static<Data>> {
  if (!definition.check.Check(data)) {
    throw new ContractViolation(`${definition.type}: ${describe(definition.check, data)}`);
  }
  return {
    specversion: "1.0",
    type: definition.type,
    subject: definition.keyOf(data),
    datacontenttype: "application/json",
    ...origin,
    data,
  };
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
    headers: { "content-type": CONTENT_TYPE },
  };
}

/** What became of the bytes of a record. `rejected` says why in words that an operator can act on. */
export type Decoded =
  | { readonly status: "decoded"; readonly message: Message; readonly definition: MessageDefinition }
  | { readonly status: "rejected"; readonly reason: RejectionReason; readonly detail: string };

export type RejectionReason = "undecodable" | "unknown-type" | "schema";

const Envelope = Type.Object(
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
  },
  // The envelope stays open: CloudEvents lets anybody on the way add extension attributes.
  { additionalProperties: true },
);
const envelopeCheck = TypeCompiler.Compile(Envelope);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a record's value. Never throws: whatever stands there is an answer.
 *
 * @param known the definitions to read it by, keyed by type
 */
export function decode(known: ReadonlyMap<string, MessageDefinition>, value: Uint8Array | null): Decoded {
  if (value === null) return rejected("undecodable", "the record has no value");
  if (value.byteLength > MAX_MESSAGE_BYTES) {
    return rejected("undecodable", `longer than ${MAX_MESSAGE_BYTES} bytes`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(utf8.decode(value));
  } catch (error) {
    return rejected("undecodable", `not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!envelopeCheck.Check(parsed)) {
    return rejected("undecodable", `not a CloudEvent: ${describe(envelopeCheck, parsed)}`);
  }
  const definition = known.get(parsed.type);
  if (definition === undefined) {
    return rejected("unknown-type", `nothing here knows the type ${parsed.type}`);
  }
  if (!definition.check.Check(parsed.data)) {
    return rejected("schema", describe(definition.check, parsed.data));
  }
  const key = definition.keyOf(parsed.data);
  if (parsed.subject !== key) {
    return rejected("schema", `subject ${parsed.subject} is not the key ${key} of the data`);
  }
  return { status: "decoded", message: parsed as Message, definition };
}

function rejected(reason: RejectionReason, detail: string): Decoded {
  return { status: "rejected", reason, detail };
}

/** The first few faults, each with its path. */
function describe(check: TypeCheck<TSchema>, value: unknown): string {
  const faults: string[] = [];
  for (const { path, message } of check.Errors(value)) {
    faults.push(`${path || "/"}: ${message}`);
    if (faults.length === 3) break;
  }
  return faults.join("; ");
}
