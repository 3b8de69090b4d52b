import { allMessages, allTopics } from "@distributed-messaging/contracts";
import { CONTENT_TYPE, MAX_MESSAGE_BYTES } from "@distributed-messaging/messaging";
import type { RawRecord } from "./records.ts";

/** A record that no service can handle, and the reason of its dead letters. */
interface BadRecord extends RawRecord {
  readonly reason: "undecodable" | "unknown-type" | "wrong-source" | "schema";
}

/** A CloudEvent with the given fields, from the source that sends its type. */
export function cloudEvent(fields: {
  type: string;
  subject: string;
  data: unknown;
  [name: string]: unknown;
}) {
  const id = Bun.randomUUIDv7();
  return {
    specversion: "1.0",
    id,
    source: allMessages.find(({ type }) => type === fields.type)?.source ?? "e2e",
    time: new Date().toISOString(),
    datacontenttype: "application/json",
    correlationid: id,
    causationid: id,
    ...fields,
  };
}

/** Every kind of invalid record for every partition of a topic, each with a key of its own. */
export function badRecords(topic: string): BadRecord[] {
  const definition = allMessages.find((candidate) => candidate.topic.name === topic);
  const { partitions = 0, config = {} } = allTopics.find(({ name }) => name === topic) ?? {};
  // On a compacted topic a record without a value is a tombstone, which is skipped.
  const noValue = config["cleanup.policy"] === "compact" ? [] : [["undecodable", null] as const];
  const type = definition?.type ?? "";
  const kinds = (key: string): readonly (readonly [BadRecord["reason"], Buffer | null])[] => [
    ...noValue,
    ["undecodable", Buffer.alloc(0)],
    ["undecodable", Buffer.from([0xff, 0xfe, 0x00, 0x13, 0x37, 0x80])],
    ["undecodable", Buffer.from("not JSON")],
    ["undecodable", Buffer.from('{"half":')],
    ["undecodable", json("a text")],
    ["undecodable", json([])],
    ["undecodable", json({ hello: "world" })],
    ["undecodable", json({ ...cloudEvent({ type, subject: key, data: {} }), id: undefined })],
    ["undecodable", json(cloudEvent({ type, subject: key, data: {}, specversion: "0.3" }))],
    ["undecodable", json(cloudEvent({ type, subject: key, data: "x".repeat(MAX_MESSAGE_BYTES) }))],
    ["unknown-type", json(cloudEvent({ type: "store.order.lost.v1", subject: key, data: {} }))],
    ["unknown-type", json(cloudEvent({ type: `${type}9`, subject: key, data: {} }))],
    ["wrong-source", json(cloudEvent({ type, subject: key, data: {}, source: "mallory" }))],
    ["schema", json(cloudEvent({ type, subject: key, data: {} }))],
    ["schema", json(cloudEvent({ type, subject: key, data: null }))],
    ["schema", json(cloudEvent({ type, subject: key, data: { [keyField(type)]: key, quantity: -1 } }))],
  ];
  return Array.from({ length: partitions }, (_, partition) => partition).flatMap((partition) =>
    kinds("").map((_, index) => {
      const key = `bad-${partition}-${index}`;
      const [reason, value] = kinds(key)[index] ?? ["undecodable", null];
      return {
        topic,
        partition,
        key: Buffer.from(key),
        value,
        reason,
        headers: { "content-type": CONTENT_TYPE, kind: `${index}` },
      };
    }),
  );
}

function keyField(type: string): string {
  return allMessages.find((definition) => definition.type === type)?.topic.key ?? "";
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
