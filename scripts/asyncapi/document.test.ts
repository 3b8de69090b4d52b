import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { allMessages } from "@distributed-messaging/contracts";
import { define } from "@distributed-messaging/messaging";
import { asyncApi } from "@distributed-messaging/messaging/asyncapi";
import { messageTopics } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { ASYNCAPI_FILE, asyncApiText } from "./document.ts";

interface Reference {
  readonly $ref: string;
}
interface Document {
  readonly asyncapi: string;
  readonly info: object;
  readonly channels: Readonly<Record<string, { address: string; messages: Record<string, Reference> }>>;
  readonly operations: Readonly<
    Record<string, { action: string; channel: Reference; messages: Reference[] }>
  >;
  readonly components: {
    readonly messages: Readonly<Record<string, { name: string; headers: unknown; payload: unknown }>>;
    readonly schemas: Readonly<Record<string, unknown>>;
  };
}

const document: Document = JSON.parse(await asyncApiText());

test("docs/asyncapi.json is up to date", async () => {
  const written = readFileSync(join(ROOT, ASYNCAPI_FILE), "utf8");
  if (written !== (await asyncApiText()))
    throw new Error(`${ASYNCAPI_FILE} is out of date: bun run asyncapi`);
});

describe("the AsyncAPI document", () => {
  test("has the parts that version 3.1 asks for, under names that it allows", () => {
    expect(document.asyncapi).toBe("3.1.0");
    expect(Object.keys(document.info)).toContainValues(["title", "version"]);
    const { channels, operations, components } = document;
    for (const part of [channels, operations, components.messages, components.schemas]) {
      for (const name of Object.keys(part)) expect(name).toMatch(/^[A-Za-z0-9._-]+$/);
    }
    for (const message of Object.values(components.messages)) {
      expect([typeof message.name, typeof message.headers, typeof message.payload]).toEqual([
        "string",
        "object",
        "object",
      ]);
    }
  });

  test("has no reference that leads nowhere", () => {
    const references = referencesIn(document);
    expect(references.length).toBeGreaterThan(allMessages.length);
    for (const reference of references) expect([reference, resolve(reference)]).not.toContain(undefined);
  });

  test("has every topic and every message, each on its own topic", () => {
    expect(Object.values(document.channels).map(({ address }) => address)).toEqual(
      messageTopics.map(({ name }) => name),
    );
    for (const { type, topic } of allMessages) {
      expect(Object.keys(document.channels[topic.name]?.messages ?? {})).toContain(type);
      expect(document.components.messages[type]?.name).toBe(type);
    }
  });

  test("has operations that send or receive messages of their own channel, and nobody's twice", () => {
    for (const { action, channel, messages } of Object.values(document.operations)) {
      expect(["send", "receive"]).toContain(action);
      for (const { $ref } of messages) expect($ref).toStartWith(`${channel.$ref}/messages/`);
      expect(new Set(messages.map(({ $ref }) => $ref)).size).toBe(messages.length);
    }
  });

  test("has a sender and a reader for every message", () => {
    const by = (action: string) =>
      Object.values(document.operations)
        .filter((operation) => operation.action === action)
        .flatMap(({ messages }) => messages.map(({ $ref }) => $ref.split("/").at(-1)));
    const types = allMessages.map(({ type }) => type).sort();
    expect(
      by("send")
        .filter((type) => type !== "dead-letter")
        .sort(),
    ).toEqual(types);
    expect([...new Set(by("receive"))].sort()).toEqual(types);
  });
});

test("an older version is understood by those who read its successor, and sent by nobody", () => {
  const topic = { name: "parcel.events", key: "id", partitions: 1, config: {} };
  const data = Type.Object({ id: Type.String() });
  const Sent = define({
    type: "test.sent.v2",
    kind: "event",
    source: "parcel",
    topic,
    key: "id",
    data,
    upcasts: [{ type: "test.sent.v1", data, lift: (old) => old }],
  });
  const { operations, components } = asyncApi({
    title: "Parcels",
    version: "1",
    license: "MIT",
    servers: {},
    topics: [topic],
    definitions: [Sent],
    receivers: { parcel: [Sent], post: [Sent] },
  }) as unknown as Document;
  expect(Object.keys(components.messages)).toEqual(["test.sent.v1", "test.sent.v2", "dead-letter"]);
  expect(operations["parcel.send.parcel.events"]?.messages).toHaveLength(1);
  expect(operations["post.receive.parcel.events"]?.messages).toHaveLength(2);
});

function referencesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === "$ref" && typeof inner === "string" ? [inner] : referencesIn(inner),
  );
}

/** What a `#/…` reference points at (RFC 6901). */
function resolve(reference: string): unknown {
  let value: unknown = document;
  for (const name of reference.split("/").slice(1)) {
    value = (value as Record<string, unknown> | undefined)?.[name];
  }
  return value;
}
