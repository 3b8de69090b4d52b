import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { readCloudEvent } from "./cloud-event.ts";
import { decode } from "./decode.ts";
import { byType, define } from "./define.ts";
import { CONTENT_TYPE, MAX_MESSAGE_BYTES } from "./envelope.ts";

const Note = define({
  type: "com.example.note.v1",
  kind: "event",
  source: "https://example.com/notes",
  topic: { name: "notes", key: "name", partitions: 1, config: {} },
  key: "name",
  data: Type.Object({ name: Type.String(), text: Type.String() }),
});
const data = { name: "n", text: "t" };
const foreign = {
  specversion: "1.0" as const,
  id: "A234-1234-1234",
  source: "https://example.com/notes",
  type: "com.example.note.v1",
  time: "2018-04-05T17:31:00Z",
};
const record = (value: unknown, headers: Record<string, string> = {}, key: string | null = "n") => ({
  ...{ topic: "notes", key, headers },
  value: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
});
const read = (...args: Parameters<typeof record>) => decode(byType([Note]), record(...args));
const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("a message that is longer than any that the kit sends is not read", () => {
  const text = "x".repeat(MAX_MESSAGE_BYTES);
  expect(read({ ...foreign, data: { ...data, text } })).toEqual({
    ...{ status: "rejected", reason: "undecodable" },
    detail: `longer than ${MAX_MESSAGE_BYTES} bytes`,
  });
});

describe("a CloudEvent of another producer", () => {
  test("needs no UUID, subject, correlation or causation", () => {
    expect(read({ ...foreign, data })).toEqual({
      status: "decoded",
      definition: Note,
      message: {
        ...foreign,
        ...{ subject: "n", datacontenttype: "application/json", data },
        ...{ correlationid: foreign.id, causationid: foreign.id },
      },
    });
  });

  test("keeps what it has, extensions included", () => {
    const given = { subject: "n", correlationid: "c", causationid: "d", myextension: 7 };
    expect(read({ ...foreign, ...given, data })).toMatchObject({ message: given });
  });

  test("in binary mode has its attributes in headers", () => {
    const attributes = Object.entries({ ...foreign, subject: "n", myextension: "x" });
    const headers = Object.fromEntries(attributes.map(([name, value]) => [`ce_${name}`, value]));
    expect(read(data, { ...headers, "content-type": "application/json; charset=utf-8" })).toMatchObject({
      status: "decoded",
      message: { ...foreign, subject: "n", myextension: "x", datacontenttype: "application/json", data },
    });
    expect(read(data, headers)).toMatchObject({ status: "decoded" });
    expect(read(data, { ...headers, "content-type": "text/plain" })).toMatchObject({ reason: "undecodable" });
    // Headers are only read in binary mode.
    expect(
      read({ ...foreign, data }, { ...headers, ce_id: "other", "content-type": CONTENT_TYPE }),
    ).toMatchObject({
      message: { id: foreign.id },
    });
    expect(read({ ...foreign, data }, headers)).toMatchObject({ reason: "schema" });
  });

  test("has the trace context of its attributes, else of its headers", () => {
    const headers = { traceparent: trace, tracestate: "vendor=1" };
    expect(read({ ...foreign, data }, headers)).toMatchObject({ message: headers });
    const own = { traceparent: trace.replace("01", "00"), tracestate: "own=1" };
    expect(read({ ...foreign, ...own, data }, headers)).toMatchObject({ message: own });
  });

  test.each([
    ["correlationid", ""],
    ["causationid", 7],
    ["traceparent", "t".repeat(257)],
    ["tracestate", "t".repeat(513)],
  ])("with another idea of %s is accepted without it", (name, value) => {
    const decoded = read({ ...foreign, [name]: value, data });
    expect(decoded.status === "decoded" && decoded.message).not.toMatchObject({ [name]: value });
    expect(decoded.status).toBe("decoded");
  });

  test.each([
    ["no id", { id: undefined }],
    ["an empty id", { id: "" }],
    ["an id of 257 characters", { id: "i".repeat(257) }],
    ["no time", { time: undefined }],
    ["a time that there is not", { time: "2018-04-05T39:31:00Z" }],
    [
      "a time that there is not, and all that messages of the kit have",
      {
        ...{ id: Bun.randomUUIDv7(), subject: "n", datacontenttype: "application/json" },
        ...{ correlationid: "c", causationid: "d", time: "2018-19-05T17:31:00Z" },
      },
    ],
    ["an empty subject", { subject: "" }],
    ["another version", { specversion: "0.3" }],
    ["data that is no JSON", { datacontenttype: "application/xml" }],
  ])("with %s is undecodable", (_, changes) => {
    expect(read({ ...foreign, ...changes, data })).toMatchObject({ reason: "undecodable" });
  });

  test("with neither a subject nor a key has no order, and is undecodable", () => {
    expect(read({ ...foreign, data }, {}, null)).toMatchObject({ reason: "undecodable" });
  });

  test("is held to topic, source and key like any other", () => {
    expect(read({ ...foreign, source: "elsewhere", data })).toMatchObject({ reason: "wrong-source" });
    expect(read({ ...foreign, subject: "m", data })).toMatchObject({ reason: "wrong-key" });
  });
});

test.each(["[]", "null", '"text"', "7", "{}", '{"__proto__":1}', ""])("%p is no CloudEvent", (value) => {
  expect(typeof readCloudEvent(record(value))).toBe("string");
});
