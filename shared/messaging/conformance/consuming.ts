import { expect, test } from "bun:test";
import { eventually } from "../testing/eventually.ts";
import { type BrokerUnderTest, required, TEST_TIMEOUT_MS } from "./broker.ts";
import { after, Fixture, numbered, record, textOf } from "./fixture.ts";

/** The promises about how a subscription calls its handler. */
export function consuming(broker: () => BrokerUnderTest): void {
  test.concurrent(
    "batches of a log that keeps its records are never empty, in order, without gaps, and say where the log ends",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(2);
      const sender = fixture.connect(topic);
      const first = numbered("first-", 300);
      await sender.publish(first.map((value) => record(topic, value, value)));
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(first);
      const lengths = [0, 1].map((partition) => reader.valuesOf({ partition }).length);
      for (const { records, partition, end, topic: name } of reader.batches) {
        expect(records.length).toBeGreaterThan(0);
        expect(end).toBe(lengths[partition] ?? -1);
        for (const read of records) expect([read.topic, read.partition]).toEqual([name, partition]);
      }
      for (const partition of [0, 1]) {
        const offsets = reader.records
          .filter((read) => read.partition === partition)
          .map((read) => read.offset);
        expect(offsets).toEqual(offsets.map((_, index) => index));
      }
      await sender.publish([record(topic, "first-0", "more")]);
      await reader.hasAll(["more"]);
      const last = reader.batches.at(-1);
      expect(last?.end).toBe((lengths[last?.partition ?? -1] ?? 0) + 1);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "the handler is never called twice at once for one partition",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const sender = fixture.connect(topic);
      const busy = new Set<number>();
      let overlaps = 0;
      const reader = fixture.read(fixture.connect(topic), {
        topics: [topic],
        handle: async (batch) => {
          if (busy.has(batch.partition)) overlaps += 1;
          busy.add(batch.partition);
          await Bun.sleep(batch.partition + 1);
          busy.delete(batch.partition);
          // A few records at a time, so that there are many calls.
          return { next: Math.min(after(batch), (batch.records[0]?.offset ?? 0) + 10) };
        },
      });
      for (let round = 0; round < 10; round++) {
        await sender.publish(numbered(`${round}-`, 40).map((value) => record(topic, value, value)));
      }
      await reader.hasAll(numbered("", 10).flatMap((round) => numbered(`${round}-`, 40)));
      expect(overlaps).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a batch whose handler rejects is delivered again, and no earlier record is",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      let failures = 0;
      const reader = fixture.read(fixture.connect(topic), {
        topics: [topic],
        handle: async (batch) => {
          if (failures < 2 && batch.records.some((read) => textOf(read) === "poison")) {
            failures += 1;
            throw new Error("rejected on purpose");
          }
          return undefined;
        },
      });
      const sender = fixture.connect(topic);
      await sender.publish([record(topic, "key", "before")]);
      await reader.hasAll(["before"]);
      await sender.publish([record(topic, "key", "poison"), record(topic, "key", "after")]);
      await eventually(() => reader.positions.get(`${topic.name}/0`) === 3, "it is handled");
      expect(reader.values.filter((value) => value === "poison")).toHaveLength(3);
      expect(reader.values.filter((value) => value === "before")).toHaveLength(1);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a pause stops one partition and no other",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const sender = fixture.connect(topic);
      const paused = new Set<number>();
      const reader = fixture.read(fixture.connect(topic), {
        topics: [topic],
        handle: async (batch) => {
          if (paused.size > 0) return undefined;
          paused.add(batch.partition);
          return { next: batch.records[0]?.offset ?? 0, pauseMs: 60 * 60_000 };
        },
      });
      await sender.publish([record(topic, "the first", "the first")]);
      await reader.hasAll(["the first"]);
      const back = [...paused][0];
      const others = Array.from({ length: topic.partitions }, (_, partition) => partition).filter(
        (p) => p !== back,
      );
      // Two rounds: a fetch that was pending when the pause began has ended with the first.
      for (const round of ["a", "b"]) {
        const values = numbered(round, 100);
        await sender.publish(values.map((value) => record(topic, value, value)));
        await eventually(
          () =>
            others.every((partition) =>
              reader.valuesOf({ partition }).some((value) => value.startsWith(round)),
            ),
          "the others flow",
        );
      }
      for (const partition of paused) expect(reader.valuesOf({ partition })).toEqual(["the first"]);
      expect(reader.subscription.healthy()).toBe(true);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "after a pause the partition continues at the offset that its reader returned",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      let pauses = 0;
      const reader = fixture.read(fixture.connect(topic), {
        topics: [topic],
        handle: async (batch) => {
          if (pauses === 3) return undefined;
          pauses += 1;
          return { next: batch.records[0]?.offset ?? 0, pauseMs: 20 };
        },
      });
      await fixture.connect(topic).publish(numbered("", 3).map((value) => record(topic, "key", value)));
      await eventually(() => reader.positions.get(`${topic.name}/0`) === 3, "it goes on");
      expect(pauses).toBe(3);
      expect(reader.values.filter((value) => value === "0").length).toBe(4);
    },
    TEST_TIMEOUT_MS,
  );
}

/** The promise about a handler that takes longer than the group's session timeout. */
export function sessions(broker: () => BrokerUnderTest): void {
  test.concurrent(
    "a handler that takes longer than a session does not lose its partitions",
    async () => {
      const sessionTimeoutMs = required(broker().sessionTimeoutMs);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const sender = fixture.connect(topic);
      const reader = fixture.read(fixture.connect(topic), {
        topics: [topic],
        handle: async (batch) => {
          if (batch.records.some((read) => textOf(read) === "slow"))
            await Bun.sleep(sessionTimeoutMs + 1_500);
          return undefined;
        },
      });
      await sender.publish([record(topic, "key", "slow")]);
      await eventually(() => reader.positions.get(`${topic.name}/0`) === 1, "the slow one");
      await sender.publish([record(topic, "key", "next")]);
      await reader.hasAll(["next"]);
      expect(reader.values).toEqual(["slow", "next"]);
      expect(reader.starts).toEqual([`${topic.name}/0`]);
    },
    TEST_TIMEOUT_MS,
  );
}
