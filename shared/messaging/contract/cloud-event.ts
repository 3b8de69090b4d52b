import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { errorText } from "../errors.ts";
import { faultsOf } from "./define.ts";
import { Envelope, envelopeCheck, MAX_MESSAGE_BYTES, type Message } from "./envelope.ts";

/** A record as it was read. */
export interface ReadRecord {
  readonly topic: string;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
}

const { id: _, subject, datacontenttype: __, correlationid, causationid, ...required } = Envelope.properties;

/**
 * A valid CloudEvent of any other producer. It needs what CloudEvents requires, and the time: that decides whether a
 * message may have been handled before.
 */
const ForeignEnvelope = Type.Object(
  {
    ...required,
    id: Type.String({ minLength: 1, maxLength: 256 }),
    subject: Type.Optional(subject),
    datacontenttype: Type.Optional(
      Type.String({ pattern: "^application/([A-Za-z0-9._-]+\\+)?json *(;.*)?$" }),
    ),
  },
  { additionalProperties: true },
);
const foreignCheck = TypeCompiler.Compile(ForeignEnvelope);

/** Attributes without which, or with other ones than ours, a message is accepted all the same. */
const optional = {
  correlationid,
  causationid,
  traceparent: required.traceparent,
  tracestate: required.tracestate,
};
const optionalChecks = new Map(
  Object.entries(optional).map(([name, schema]) => [name, TypeCompiler.Compile(schema)]),
);

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads the CloudEvent of a record, in structured or in binary content mode
 * (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md). Other producers
 * leave out what is optional: the subject is then the key of the record, the correlation and the causation are the
 * message itself, and the trace context is that of the record's headers.
 *
 * @returns the message, whose data nobody has checked, or what is wrong
 */
export function readCloudEvent(record: ReadRecord): Message | string {
  const { value } = record;
  if (value === null) return "the record has no value";
  if (value.byteLength > MAX_MESSAGE_BYTES) return `longer than ${MAX_MESSAGE_BYTES} bytes`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(utf8.decode(value));
  } catch (error) {
    return `not JSON: ${errorText(error)}`;
  }
  const event = isBinary(record) ? { ...attributesOf(record), data: parsed } : parsed;
  // Sound: the check is that of every attribute but the data.
  if (envelopeCheck.Check(event)) return isTime(event.time) ? (event as Message) : noSuchTime(event.time);
  const candidate = withoutInvalid(event);
  if (!foreignCheck.Check(candidate)) return `not a CloudEvent: ${faultsOf(foreignCheck, candidate)}`;
  if (!isTime(candidate.time)) return noSuchTime(candidate.time);
  return completed(candidate, record);
}

/** A text may have the form of a time without being one: the 39th hour of a day. The inbox could not store its claim. */
function isTime(text: string): boolean {
  return !Number.isNaN(Date.parse(text));
}

function noSuchTime(text: string): string {
  return `not a CloudEvent: there is no time ${text}`;
}

function isBinary({ headers }: ReadRecord): boolean {
  const { ce_specversion: version, "content-type": contentType } = headers;
  return version !== undefined && !contentType?.startsWith("application/cloudevents");
}

/** Of a message in binary mode the attributes are headers; the content type is that of the data. */
function attributesOf({ headers }: ReadRecord): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [name, text] of Object.entries(headers)) {
    if (name.startsWith("ce_")) attributes[name.slice(3)] = text;
  }
  const contentType = headers["content-type"];
  return contentType === undefined ? attributes : { ...attributes, datacontenttype: contentType };
}

/** Leaves out extension attributes that have the name of one of ours, but not its form. */
function withoutInvalid(event: unknown): unknown {
  if (typeof event !== "object" || event === null || Array.isArray(event)) return event;
  return Object.fromEntries(
    Object.entries(event).filter(([name, value]) => optionalChecks.get(name)?.Check(value) ?? true),
  );
}

function completed(event: Static<typeof ForeignEnvelope>, { key, headers }: ReadRecord): Message | string {
  const subject = event.subject ?? key;
  if (subject === null || subject === "")
    return "not a CloudEvent with a key: neither a subject nor a record key";
  const trace = Object.entries(headers).filter(
    ([name, text]) => /^trace(parent|state)$/.test(name) && optionalChecks.get(name)?.Check(text),
  );
  return {
    correlationid: event.id,
    causationid: event.id,
    ...Object.fromEntries(trace),
    ...event,
    subject,
    datacontenttype: "application/json",
  };
}
