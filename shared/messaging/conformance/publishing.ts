import { expect, test } from "bun:test";
import type { Topic } from "../contract/define.ts";
import { eventually } from "../testing/eventually.ts";
import { PublishError } from "../transport/transport.ts";
import { type BrokerUnderTest, TEST_TIMEOUT_MS } from "./broker.ts";
import { Fixture, firsts, noise, numbered, record } from "./fixture.ts";

/** The promises of a publisher. */
export function publishing(broker: () => BrokerUnderTest): void {
  test.concurrent(
    "acknowledged records are read from the beginning by a later subscription",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const sender = fixture.connect(topic);
      await sender.publish(numbered("early-", 50).map((value) => record(topic, value, value)));
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(numbered("early-", 50));
      expect(firsts(reader.values).toSorted()).toEqual(numbered("early-", 50).toSorted());
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "records of one key are in one partition, in the order in which they were published",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const sender = fixture.connect(topic);
      const keys = numbered("key-", 20);
      for (let round = 0; round < 10; round++) {
        await sender.publish(
          keys.flatMap((key) => [0, 1, 2].map((n) => record(topic, key, `${round}.${n}`))),
        );
      }
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      const expected = numbered("", 10).flatMap((round) => [0, 1, 2].map((n) => `${round}.${n}`));
      for (const key of keys) {
        await reader.hasAllOf(key, expected);
        expect(firsts(reader.valuesOf({ key }))).toEqual(expected);
        const partitions = reader.records.filter((read) => read.key === key).map((read) => read.partition);
        expect(new Set(partitions).size).toBe(1);
      }
      expect(new Set(reader.records.map(({ partition }) => partition)).size).toBeGreaterThan(1);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a record that is sent again has another time",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const same = record(topic, "key", "value");
      await fixture.connect(topic).publish([same]);
      // Times are in milliseconds.
      await Bun.sleep(2);
      await fixture.connect(topic).publish([same]);
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await eventually(() => reader.records.some(({ offset }) => offset >= 1));
      const times = new Map(reader.records.map(({ offset, timestampMs }) => [offset, timestampMs]));
      expect(new Set(times.values()).size).toBe(times.size);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "keys, values and headers come back as they were given, null and empty ones too",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const headers = { "content-type": "application/json", empty: "", "ä-ß": "grüße 🚀" };
      await fixture
        .connect(topic)
        .publish([
          record(topic, "tombstone", null),
          record(topic, null, "no key"),
          record(topic, "", "empty key"),
          record(topic, "schlüssel 🔑", bytes, headers),
          record(topic, "empty", ""),
          record(topic, "last", "last"),
        ]);
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(["last"]);
      expect(
        reader.records.map(({ key, value, headers }) => ({ key, value: value && [...value], headers })),
      ).toEqual([
        { key: "tombstone", value: null, headers: {} },
        { key: null, value: [...Buffer.from("no key")], headers: {} },
        { key: "", value: [...Buffer.from("empty key")], headers: {} },
        { key: "schlüssel 🔑", value: [...bytes], headers },
        { key: "empty", value: [], headers: {} },
        { key: "last", value: [...Buffer.from("last")], headers: {} },
      ]);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "publishing no records resolves, with or without topics",
    async () => {
      await using fixture = new Fixture(broker());
      await fixture.connect().publish([]);
      const topic = fixture.topic();
      const sender = fixture.connect(topic);
      await sender.publish([]);
      await sender.publish([record(topic, "key", "something")]);
      await sender.publish([]);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "one publish may be larger than a batch of the broker, and keeps its order",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const values = numbered("", 500).map((value) => `${value}:${noise(8 * 1024)}`);
      await fixture.connect(topic).publish(values.map((value) => record(topic, "one key", value)));
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(values);
      expect(firsts(reader.values)).toEqual(values);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "several topics in one publish, several publishes at once",
    async () => {
      await using fixture = new Fixture(broker());
      const [one, other] = [fixture.topic(), fixture.topic()];
      const sender = fixture.connect(one, other);
      const publishes = numbered("key-", 10).map((key) =>
        sender.publish(
          numbered("", 20).flatMap((n) => [record(one, key, n), record(other, key, `other ${n}`)]),
        ),
      );
      await Promise.all(publishes);
      const reader = fixture.read(fixture.connect(one, other), { topics: [one, other] });
      for (const key of numbered("key-", 10)) {
        const [here, there] = [numbered("", 20), numbered("other ", 20)];
        await reader.hasAllOf(key, [...here, ...there]);
        const read = firsts(reader.valuesOf({ key }));
        expect(read.filter((value) => here.includes(value))).toEqual(here);
        expect(read.filter((value) => there.includes(value))).toEqual(there);
      }
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a topic that does not exist is reported, and the records of other topics are stored once",
    async () => {
      await using fixture = new Fixture(broker());
      const [topic, missing] = [fixture.topic(), fixture.topic()];
      const sender = fixture.connect(topic);
      const records = [record(topic, "key", "1"), record(missing, "key", "lost"), record(topic, "key", "2")];
      const failures = await failuresOf(sender.publish(records));
      expect([...failures]).toMatchObject([[records[1], { scope: "topic" }]]);
      await sender.publish([record(topic, "key", "3")]);
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(["3"]);
      expect(reader.values).toEqual(["1", "2", "3"]);
    },
    TEST_TIMEOUT_MS,
  );
}

/** Tests of publishing that need a broker with limits. */
export function refusals(broker: () => BrokerUnderTest): void {
  test.concurrent(
    "a record that is too large is reported with its batch, and those of other partitions are stored once",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const narrow: Topic = { ...fixture.topic(1), config: { "max.message.bytes": "2000" } };
      const sender = fixture.connect(topic, narrow);
      const large = record(narrow, "key", noise(5_000));
      const small = record(narrow, "key", "small");
      const records = [record(topic, "key", "1"), small, large, record(topic, "key", "2")];
      const failures = await failuresOf(sender.publish(records));
      expect([...failures]).toMatchObject([
        [small, { scope: "record" }],
        [large, { scope: "record" }],
      ]);
      await sender.publish([small]);
      expect([...(await failuresOf(sender.publish([large])))]).toMatchObject([[large, { scope: "record" }]]);
      await sender.publish([record(topic, "key", "3")]);
      const reader = fixture.read(fixture.connect(topic, narrow), { topics: [topic, narrow] });
      await reader.hasAll(["small", "3"]);
      expect(reader.records.filter((read) => read.topic === topic.name)).toHaveLength(3);
      expect(reader.records).toHaveLength(4);
    },
    TEST_TIMEOUT_MS,
  );
}

async function failuresOf(publishing: Promise<void>): Promise<PublishError["failures"]> {
  const error: unknown = await publishing.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof PublishError) return error.failures;
  throw new Error("a PublishError was expected", { cause: error });
}
