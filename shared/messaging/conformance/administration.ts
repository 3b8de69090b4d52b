import { expect, test } from "bun:test";
import { type BrokerUnderTest, required, TEST_TIMEOUT_MS } from "./broker.ts";
import { Fixture, numbered, record } from "./fixture.ts";

/** The promises about topics that change while they are read. */
export function administration(broker: () => BrokerUnderTest): void {
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
      await fixture.connect(topic).publish(values.map((value) => record(topic, value, value)));
      await reader.hasAll(values);
      expect(new Set(reader.records.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2]));
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
