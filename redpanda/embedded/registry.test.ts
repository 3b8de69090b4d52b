import { afterEach, expect, test } from "bun:test";
import { ErrorCode } from "./errors.ts";
import { ApiKey, apis } from "./registry.ts";
import { RawClient } from "./testing/raw-client.ts";
import { createTopic } from "./testing/requests.ts";
import { cleanAll, temporaryBroker } from "./testing/temporary.ts";
import { Reader } from "./wire/reader.ts";
import { Writer } from "./wire/writer.ts";

afterEach(cleanAll);

const versions = [...apis.values()].flatMap((api) =>
  Array.from({ length: api.maxVersion - api.minVersion + 1 }, (_, index) => {
    const version = api.minVersion + index;
    return { api, version, flexible: version >= api.flexibleFrom, label: `${api.name} ${version}` };
  }),
);

/** A body that every API decodes as a (nearly) empty request: an empty string or array is 0, in compact form 1. */
function emptyBody(flexible: boolean): Buffer {
  return Buffer.alloc(64, flexible ? 1 : 0);
}

/** The empty request to Produce has acks=0 and no response; in flexible versions acks is invalid. */
function isAnswered(label: string): boolean {
  return !/^Produce [3-8]$/.test(label);
}

test("the registry is sorted and matches ApiKey", () => {
  expect([...apis.keys()]).toEqual([...apis.keys()].sort((a, b) => a - b));
  expect(Object.entries<number>(ApiKey)).toEqual([...apis.values()].map(({ name, key }) => [name, key]));
});

test.each(versions)("$label can be refused", ({ api, version, flexible, label }) => {
  const call = api.decode(new Reader(emptyBody(flexible), flexible), version);
  const refusal = call.refuse(ErrorCode.POLICY_VIOLATION, "no");
  expect(refusal !== undefined).toBe(isAnswered(label));
  expect(refusal?.(() => new Writer(flexible)).length).not.toBe(0);
});

test("every API answers in every version, and the connection stays open", async () => {
  const broker = await temporaryBroker();
  const client = await RawClient.connect(broker);
  for (const { api, version, flexible, label } of versions) {
    client.send(api.key, version, (writer) => writer.raw(emptyBody(flexible)));
    if (isAnswered(label)) await client.response(api.key, version);
  }
  await createTopic(client, "t");
});
