import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { decode } from "./decode.ts";
import { byType, define } from "./define.ts";
import { ContractViolation, encode, MAX_MESSAGE_BYTES, message, type Origin } from "./envelope.ts";

const Note = define({
  type: "test.note.v1",
  kind: "event",
  source: "test",
  topic: { name: "notes", key: "name", partitions: 1, config: {} },
  key: "name",
  data: Type.Object({ name: Type.String(), text: Type.String() }),
});
const origin: Origin = {
  id: "01890a5d-ac96-774b-bcce-b302099a8057",
  source: "test",
  time: "2026-01-01T00:00:00.000Z",
  correlationid: "c",
  causationid: "c",
};
const emit = (data: { name: string; text: string }, changes: Partial<Origin> = {}) =>
  encode(Note, message(Note, data, { ...origin, ...changes }));

test.each([
  ["an empty key", { name: "" }, {}],
  ["a key of 257 characters", { name: "k".repeat(257) }, {}],
  ["a key with half of a surrogate pair", { name: "\ud800" }, {}],
  ["an empty id", {}, { id: "" }],
  ["an empty source", {}, { source: "" }],
  ["a time after the year 9999", {}, { time: new Date(8.64e15).toISOString() }],
  ["an empty correlation id", {}, { correlationid: "" }],
  ["a causation id of 257 characters", {}, { causationid: "c".repeat(257) }],
  ["a traceparent of 257 characters", {}, { traceparent: "t".repeat(257) }],
  ["more than the longest message", { text: "x".repeat(MAX_MESSAGE_BYTES) }, {}],
])("%s is not emitted, since no reader would accept it", (_, data, changes) => {
  expect(() => emit({ name: "n", text: "t", ...data }, changes)).toThrow(ContractViolation);
});

test("what is emitted at the limits can be decoded, with the key that the record has", () => {
  const limits = {
    traceparent: "t".repeat(256),
    correlationid: "c".repeat(256),
    causationid: "c".repeat(256),
  };
  for (const name of ["k", "k".repeat(256), "\u{1f4e6}".repeat(128), "\0\n\u2028", "\ufffd"]) {
    const { key, value } = emit({ name, text: "\ud800 is data" }, limits);
    const decoded = decode(byType([Note]), { topic: "notes", key, value: Buffer.from(value), headers: {} });
    expect(decoded).toMatchObject({ status: "decoded", message: { subject: name } });
    expect(Buffer.from(key).toString()).toBe(name);
  }
});

test("the type of a definition refuses a key that may be missing: such messages would all have one key", () => {
  const { topic, source } = Note;
  const about = { type: "test.odd.v1", kind: "event", source, topic } as const;
  const data = Type.Object({ name: Type.Optional(Type.String()), tags: Type.Array(Type.String()) });
  // @ts-expect-error an optional field
  const optional = define({ ...about, key: "name", data });
  // @ts-expect-error a field that is no text
  const list = define({ ...about, key: "tags", data });
  expect([optional.keyOf({ tags: [] }), list.keyOf({ tags: [] })]).toEqual(["undefined", ""]);
});
