import type {
  DeadLetterDetails,
  DeadLetterSummary,
  RecordedAction,
  ReplayResult,
} from "@distributed-messaging/messaging";
import { deadLetterReasons } from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";

/*
 * Dead letters as the HTTP interface shows them: times in RFC 3339, bytes as base64 and, where they are UTF-8,
 * as text.
 */

const utf8 = new TextDecoder("utf-8", { fatal: true });

function shownBytes(bytes: Uint8Array | null) {
  if (bytes === null) return null;
  return { bytes: bytes.byteLength, text: textOf(bytes), base64: Buffer.from(bytes).toString("base64") };
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

const timeOf = (ms: number) => new Date(ms).toISOString();

export function shownSummary({ parkedAt, ...letter }: DeadLetterSummary) {
  return { ...letter, parkedAt: timeOf(parkedAt) };
}

export function shownDetails(letter: DeadLetterDetails) {
  const { value, edited, parkedAt, stack, actions, parkedOfKey, ...rest } = letter;
  return {
    ...rest,
    stack: stack ?? null,
    parkedAt: timeOf(parkedAt),
    raw: shownBytes(value),
    edited: shownBytes(edited),
    lineLength: parkedOfKey,
    actions: actions.map(({ at, ...action }: RecordedAction) => ({ ...action, at: timeOf(at) })),
  };
}

export function shownResult({ id, outcome, detail }: ReplayResult) {
  return { id, outcome, ...(detail === undefined ? {} : { detail }) };
}

// The same as schemas, for the OpenAPI document; answers are not checked against them at run time.

const Text = Type.String();
const Whole = Type.Integer();
const Time = Type.String({ format: "date-time" });
const Bytes = Type.Object({
  bytes: Whole,
  text: Type.Union([Text, Type.Null()], { description: "null where the bytes are not UTF-8" }),
  base64: Type.String({ contentEncoding: "base64" }),
});
const common = {
  id: Whole,
  topic: Text,
  partition: Whole,
  offset: Whole,
  key: Type.Union([Text, Type.Null()]),
  reason: Type.Union(deadLetterReasons.map((reason) => Type.Literal(reason))),
  error: Text,
  attempts: Whole,
  replays: Whole,
  parkedAt: Time,
};

export const SummarySchema = Type.Object({ ...common, edited: Type.Boolean(), bytes: Whole });

export const DetailsSchema = Type.Object({
  ...common,
  headers: Type.Record(Text, Text),
  stack: Type.Union([Text, Type.Null()]),
  raw: Type.Union([Bytes, Type.Null()], { description: "As it came" }),
  edited: Type.Union([Bytes, Type.Null()], { description: "What an admin put in its place" }),
  decoded: Type.Union([
    Type.Object({ message: Type.Object({}, { description: "A CloudEvent" }) }),
    Type.Object({ problem: Text }),
  ]),
  lineLength: Type.Integer({ description: "Messages of its topic and key that are parked, itself included" }),
  actions: Type.Array(Type.Object({ action: Text, actor: Text, detail: Text, at: Time })),
});

export const ResultSchema = Type.Object({
  id: Whole,
  outcome: Type.Union(
    ["handled", "duplicate", "skipped", "failed", "refused", "would-replay"].map((outcome) =>
      Type.Literal(outcome),
    ),
  ),
  detail: Type.Optional(Text),
});
