import { expect, test } from "bun:test";
import { eventually } from "../testing/eventually.ts";
import { type BrokerUnderTest, TEST_TIMEOUT_MS } from "./broker.ts";
import { after, Fixture, numbered, record } from "./fixture.ts";

/** The promises about the offsets from which a subscription reads. */
export function positions(broker: () => BrokerUnderTest): void {
  for (const { where, startAt, expected } of [
    { where: "no given offset", startAt: undefined, expected: numbered("", 10) },
    { where: "the beginning", startAt: 0, expected: numbered("", 10) },
    { where: "the middle", startAt: 4, expected: numbered("", 10).slice(4) },
    { where: "the last record", startAt: 9, expected: ["9"] },
    { where: "the end", startAt: 10, expected: [] },
    {
      where: "an offset beyond the end, which means the beginning",
      startAt: 11,
      expected: numbered("", 10),
    },
    {
      where: "an offset far beyond the end, which means the beginning",
      startAt: 1_000_000,
      expected: numbered("", 10),
    },
  ]) {
    test.concurrent(
      `a reader that starts at ${where}`,
      async () => {
        await using fixture = new Fixture(broker());
        const topic = fixture.topic(1);
        const sender = fixture.connect(topic);
        await sender.publish(numbered("", 10).map((value) => record(topic, "key", value)));
        const reader = fixture.read(fixture.connect(topic), { topics: [topic], startAt: () => startAt });
        await eventually(() => reader.starts.length > 0, "it is assigned");
        if (expected.length > 0) await reader.hasAll(expected);
        else await reader.isHealthy();
        await sender.publish([record(topic, "key", "new")]);
        await reader.hasAll(["new"]);
        expect(reader.values).toEqual([...expected, "new"]);
      },
      TEST_TIMEOUT_MS,
    );
  }

  test.concurrent(
    "a reader is told when it has read a partition to its end, also an empty one",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const name = `${topic.name}/0`;
      const seen: number[] = [];
      const reader = fixture.read(client, {
        topics: [topic],
        handle: async (batch) => {
          seen.push(reader.caughtUp.get(name) ?? 0);
          return { next: after(batch) };
        },
      });
      await eventually(() => reader.caughtUp.has(name), "it is told of the empty log");
      await client.publish([record(topic, "key", "1")]);
      await reader.hasAll(["1"]);
      await eventually(() => (reader.caughtUp.get(name) ?? 0) > (seen[0] ?? 0), "it is told of the end");
      expect(seen[0]).toBeGreaterThan(0);
    },
    TEST_TIMEOUT_MS,
  );

  for (const { where, startAt, expected } of [
    { where: "which the log has", startAt: 9, expected: ["9"] },
    { where: "at which the log ends, which means the beginning", startAt: 10, expected: numbered("", 10) },
  ]) {
    test.concurrent(
      `a reader that starts at a record that it has read before, ${where}`,
      async () => {
        await using fixture = new Fixture(broker());
        const topic = fixture.topic(1);
        const client = fixture.connect(topic);
        await client.publish(numbered("", 10).map((value) => record(topic, "key", value)));
        const reader = fixture.read(client, { topics: [topic], startAt: () => startAt, rereadsLast: true });
        await reader.hasAll(expected);
        await client.publish([record(topic, "key", "new")]);
        await reader.hasAll(["new"]);
        expect(reader.values).toEqual([...expected, "new"]);
      },
      TEST_TIMEOUT_MS,
    );
  }

  test.concurrent(
    "each partition is read from its own offset, and a later subscription calls startAt again",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const client = fixture.connect(topic);
      const values = numbered("", 80);
      await client.publish(values.map((value) => record(topic, value, value)));
      const startAt = (_: string, partition: number) => partition;
      const first = fixture.read(client, { topics: [topic], startAt });
      const lengths = new Map<number, number>();
      await eventually(() => {
        for (const batch of first.batches) lengths.set(batch.partition, batch.end);
        const due = [...lengths].reduce((sum, [partition, end]) => sum + end - partition, 0);
        return lengths.size === topic.partitions && first.records.length === due;
      }, "all partitions");
      for (const [partition, end] of lengths) {
        const offsets = first.records
          .filter((read) => read.partition === partition)
          .map((read) => read.offset);
        expect(offsets).toEqual(Array.from({ length: end - partition }, (_, index) => partition + index));
      }
      await first.subscription.stop();
      const second = fixture.read(client, { topics: [topic], group: first.group });
      await second.hasAll(values);
      expect(new Set(second.starts).size).toBe(topic.partitions);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a reader may go back, skip, and return an offset that does not exist, which means the beginning",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const sender = fixture.connect(topic);
      await sender.publish(numbered("", 10).map((value) => record(topic, "key", value)));
      const moves = [{ next: 3 }, { next: 8 }, { next: 10_000 }];
      const reader = fixture.read(fixture.connect(topic), {
        topics: [topic],
        handle: async (batch) => moves.shift() ?? { next: after(batch) },
      });
      await eventually(() => reader.batches.length === 4, "it has been everywhere");
      expect(reader.batches.map(({ records }) => records[0]?.offset)).toEqual([0, 3, 8, 0]);
      await sender.publish([record(topic, "key", "new")]);
      await reader.hasAll(["new"]);
      expect(reader.batches.at(-1)?.records.map(({ offset }) => offset)).toEqual([10]);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a topic that is created after the subscription is read",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const reader = fixture.read(fixture.connect(), { topics: [topic] });
      const sender = fixture.connect(topic);
      await sender.publish([record(topic, "key", "first")]);
      await reader.hasAll(["first"]);
    },
    TEST_TIMEOUT_MS,
  );
}
