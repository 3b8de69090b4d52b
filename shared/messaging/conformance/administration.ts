import { expect, test } from "bun:test";
import { PublishError } from "../transport/transport.ts";
import { type BrokerUnderTest, required, TEST_TIMEOUT_MS } from "./broker.ts";
import { Fixture, numbered, record } from "./fixture.ts";

/**
 * The promises about topics that change while they are read.
 *
 * @param distributesByDefinition whether the client distributes keys by the topic's definition
 */
export function administration(broker: () => BrokerUnderTest, distributesByDefinition: boolean): void {
  test.concurrent(
    "partitions that are added to a topic are read",
    async () => {
      const administration = required(broker().administration);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      await client.publish([record(topic, "key", "first")]);
      const reader = fixture.read(client, { topics: [topic] });
      await reader.hasAll(["first"]);
      await administration.addPartitions(topic, 3);
      const values = numbered("", 40);
      // A new client, which knows the new partitions at once.
      const grown = { ...topic, partitions: 3 };
      await fixture.connect(grown).publish(values.map((value) => record(topic, value, value)));
      await reader.hasAll(values);
      expect(new Set(reader.records.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2]));
    },
    TEST_TIMEOUT_MS,
  );

  (distributesByDefinition ? test.concurrent : test.skip)(
    "a key stays in its partition when partitions are added that the topic's definition does not have",
    async () => {
      const administration = required(broker().administration);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(2);
      const keys = numbered("key ", 20);
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await fixture.connect(topic).publish(keys.map((key) => record(topic, key, key)));
      await reader.hasAll(keys);
      await administration.addPartitions(topic, 5);
      const later = keys.map((key) => `later ${key}`);
      await fixture.connect(topic).publish(keys.map((key) => record(topic, key, `later ${key}`)));
      await reader.hasAll(later);
      for (const key of keys) {
        expect(
          new Set(reader.records.filter((read) => read.key === key).map((read) => read.partition)).size,
        ).toBe(1);
      }
      // With more partitions in the definition than there are, nothing is written.
      const defined = { ...topic, partitions: 6 };
      const failure = await fixture
        .connect(defined)
        .publish([record(topic, "key", "never")])
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(PublishError);
      expect([...(failure instanceof PublishError ? failure.failures.values() : [])]).toMatchObject([
        { scope: "held" },
      ]);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a log whose oldest records were deleted is read from the oldest that it has",
    async () => {
      const administration = required(broker().administration);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      await client.publish(numbered("", 10).map((value) => record(topic, "key", value)));
      await administration.deleteRecords(topic, 0, 6);
      for (const startAt of [undefined, 3]) {
        const reader = fixture.read(client, { topics: [topic], startAt: () => startAt });
        await reader.hasAll(numbered("", 10).slice(6));
        expect(reader.records.map(({ offset }) => offset)).toEqual([6, 7, 8, 9]);
      }
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a topic that is deleted and created again is read from its beginning, after startAt was called",
    async () => {
      const administration = required(broker().administration);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      await fixture.connect(topic).publish(numbered("old-", 10).map((value) => record(topic, "key", value)));
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(numbered("old-", 10));
      const asked = reader.starts.length;
      await administration.deleteTopic(topic);
      await fixture.connect(topic).publish(numbered("new-", 3).map((value) => record(topic, "key", value)));
      await reader.hasAll(numbered("new-", 3));
      expect(reader.starts.length).toBeGreaterThan(asked);
      expect(reader.values).toEqual([...numbered("old-", 10), ...numbered("new-", 3)]);
    },
    TEST_TIMEOUT_MS,
  );
}
