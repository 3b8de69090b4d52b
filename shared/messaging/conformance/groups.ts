import { expect, test } from "bun:test";
import type { Topic } from "../contract/define.ts";
import { eventually } from "../testing/eventually.ts";
import { type BrokerUnderTest, type ClientUnderTest, TEST_TIMEOUT_MS } from "./broker.ts";
import { Fixture, numbered, type Reader, record, rejects } from "./fixture.ts";

/** The promises about consumer groups and the end of a subscription. */
export function groups(broker: () => BrokerUnderTest): void {
  test.concurrent(
    "each of two groups gets every record",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const client = fixture.connect(topic);
      const readers = [fixture.read(client, { topics: [topic] }), fixture.read(client, { topics: [topic] })];
      const values = numbered("", 100);
      await client.publish(values.map((value) => record(topic, value, value)));
      for (const reader of readers) {
        await reader.hasAll(values);
        expect(reader.redelivered).toEqual([]);
      }
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "the members of a group share the partitions, and the last one gets all of them",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const positions = new Map<string, number>();
      const sender = fixture.connect(topic);
      const one = fixture.read(fixture.connect(topic), { topics: [topic], positions });
      await sender.publish([record(topic, "key", "first")]);
      await one.hasAll(["first"]);
      const other = fixture.read(fixture.connect(topic), { topics: [topic], positions, group: one.group });

      const rounds = new Rounds(topic, sender);
      await rounds.until((values) => [one, other].every((reader) => reader.hasSome(values)), [one, other]);
      const round = await rounds.next([one, other]);
      const owned = [one, other].map((reader) => {
        const records = reader.records.filter((read) => round.includes(String(read.value)));
        return new Set(records.map(({ partition }) => partition));
      });
      expect(owned.reduce((sum, partitions) => sum + partitions.size, 0)).toBe(topic.partitions);

      const asked = other.starts.length;
      await one.subscription.stop();
      const last = await rounds.next([other]);
      expect(one.hasSome(last)).toBe(false);
      expect(new Set(other.starts.slice(asked)).size).toBe(topic.partitions);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "stop resolves only when the handler has ended, and nothing is delivered afterwards",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const client = fixture.connect(topic);
      const events: string[] = [];
      const release = Promise.withResolvers<void>();
      using _ = { [Symbol.dispose]: () => release.resolve() };
      const reader = fixture.read(client, {
        topics: [topic],
        handle: async () => {
          events.push("handler begins");
          await release.promise;
          events.push("handler ends");
          return undefined;
        },
      });
      const witness = fixture.read(fixture.connect(topic), { topics: [topic] });
      await client.publish([record(topic, "key", "held")]);
      await eventually(() => events.length === 1, "the handler runs");
      const stopping = [reader.subscription.stop(), reader.subscription.stop()].map((stop) =>
        stop.then(() => events.push("stopped")),
      );
      expect(reader.subscription.healthy()).toBe(false);
      // A stop that does not wait for the handler would resolve before another reader has read these.
      await client.publish(numbered("later-", 40).map((value) => record(topic, value, value)));
      await witness.hasAll(numbered("later-", 40));
      release.resolve();
      await Promise.all(stopping);
      expect(events).toEqual(["handler begins", "handler ends", "stopped", "stopped"]);
      await client.publish(numbered("too-late-", 40).map((value) => record(topic, value, value)));
      await witness.hasAll(numbered("too-late-", 40));
      expect(events).toHaveLength(4);
      expect(reader.values).toEqual(["held"]);
      expect(reader.subscription.healthy()).toBe(false);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a subscription may be stopped before it has started, or while it is paused",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const first = fixture.read(client, { topics: [topic] });
      await first.subscription.stop();
      const second = fixture.read(client, {
        topics: [topic],
        group: first.group,
        handle: async () => ({ next: 0, pauseMs: 60 * 60_000 }),
      });
      await client.publish([record(topic, "key", "value")]);
      await second.hasAll(["value"]);
      await second.subscription.stop();
      const third = fixture.read(client, { topics: [topic], group: first.group });
      await third.hasAll(["value"]);
      expect([first.values, second.values, third.values]).toEqual([[], ["value"], ["value"]]);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "startAt is called again after it threw",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      let refusals = 2;
      const reader = fixture.read(client, {
        topics: [topic],
        startAt: () => {
          refusals -= 1;
          if (refusals >= 0) throw new Error("the disk does not answer");
          return undefined;
        },
      });
      await client.publish([record(topic, "key", "value")]);
      await reader.hasAll(["value"]);
      expect(reader.starts).toHaveLength(3);
    },
    TEST_TIMEOUT_MS,
  );

  test.concurrent(
    "a closed client refuses to publish",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      await client.publish([record(topic, "key", "value")]);
      await client.close();
      await client.close();
      expect(await rejects(client.publish([record(topic, "key", "too late")]))).toBe(true);
    },
    TEST_TIMEOUT_MS,
  );
}

/** Rounds of records for every partition of a topic. */
class Rounds {
  readonly #topic: Topic;
  readonly #sender: ClientUnderTest;
  #count = 0;

  constructor(topic: Topic, sender: ClientUnderTest) {
    this.#topic = topic;
    this.#sender = sender;
  }

  /** Publishes a round and waits until the readers together have read all of it. @returns its values */
  async next(readers: readonly Reader[]): Promise<string[]> {
    this.#count += 1;
    const values = numbered(`${this.#count}:`, 40);
    await this.#sender.publish(values.map((value) => record(this.#topic, value.slice(-3), value)));
    await eventually(() => {
      const read = new Set(readers.flatMap((reader) => reader.values));
      return values.every((value) => read.has(value));
    }, `round ${this.#count} is read`);
    return values;
  }

  /** Publishes rounds until one satisfies the condition. A rebalance takes many of them. */
  async until(condition: (values: string[]) => boolean, readers: readonly Reader[]): Promise<void> {
    await eventually(async () => condition(await this.next(readers)), "a round that satisfies the condition");
  }
}
