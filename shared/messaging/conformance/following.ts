import { expect, test } from "bun:test";
import type { Topic } from "../contract/define.ts";
import { eventually } from "../testing/eventually.ts";
import type { Subscription } from "../transport/transport.ts";
import { type BrokerUnderTest, type ClientUnderTest, required, TEST_TIMEOUT_MS } from "./broker.ts";
import { Fixture, numbered, record, rejects, textOf } from "./fixture.ts";

/** Follows a topic, and records every call. */
class Follower implements AsyncDisposable {
  readonly values: string[] = [];
  readonly offsets: number[] = [];
  /** How many records had been delivered, each time when there were no more, and where the log ended then. */
  readonly ends: number[] = [];
  end = -1;
  readonly subscription: Subscription;

  constructor(client: ClientUnderTest, { name: topic }: Topic, from?: number) {
    const follow = required(client.follow?.bind(client));
    this.subscription = follow({
      topic,
      ...(from === undefined ? {} : { from }),
      deliver: (delivered) => {
        this.values.push(textOf(delivered));
        this.offsets.push(delivered.offset);
      },
      caughtUp: (end) => {
        this.end = end;
        this.ends.push(this.values.length);
      },
    });
  }

  async has(...values: readonly string[]): Promise<void> {
    await eventually(() => values.every((value) => this.values.includes(value)), `it has ${values.join()}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.subscription.stop();
  }
}

/** The promises about topics that are followed, in no group. */
export function following(broker: () => BrokerUnderTest): void {
  test(
    "everybody who follows a topic gets every record of it, in order, and is told when there are no more",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const before = numbered("before-", 300);
      await client.publish(before.map((value) => record(topic, value, value)));
      await using one = new Follower(client, topic);
      await using other = new Follower(fixture.connect(topic), topic);
      for (const follower of [one, other]) {
        await follower.has(...before);
        await eventually(() => follower.ends.includes(300), "it is told that there are no more");
        // Not before there were none.
        expect(follower.ends.every((count) => count === 300)).toBe(true);
        expect(follower.subscription.healthy()).toBe(true);
      }
      await client.publish([record(topic, "key", "after")]);
      for (const follower of [one, other]) {
        await follower.has("after");
        expect(follower.values).toEqual([...before, "after"]);
        await eventually(() => follower.ends.at(-1) === 301, "it is told again");
      }
      await one.subscription.stop();
      expect(one.subscription.healthy()).toBe(false);
      await client.publish([record(topic, "key", "last")]);
      await other.has("last");
      expect(one.values).not.toContain("last");
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "who follows a topic from an offset gets what is there and after it; one that the log does not have means its beginning",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const values = numbered("record-", 5);
      await client.publish(values.map((value) => record(topic, value, value)));
      await using middle = new Follower(client, topic, 3);
      await using end = new Follower(fixture.connect(topic), topic, 5);
      await using beyond = new Follower(fixture.connect(topic), topic, 50);
      await middle.has("record-4");
      expect(middle.values).toEqual(["record-3", "record-4"]);
      expect(middle.offsets).toEqual([3, 4]);
      await eventually(() => end.end === 5 && middle.end === 5, "they are told where the log ends");
      expect(end.values).toEqual([]);
      await beyond.has(...values);
      expect(beyond.values).toEqual(values);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "what a topic has before an offset is deleted; who follows it from its beginning gets the rest",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const trim = required(client.trim?.bind(client));
      const values = numbered("record-", 6);
      for (const value of values) await client.publish([record(topic, value, value)]);
      await trim(topic.name, 4);
      // What is gone is not deleted again, and comes not back.
      await trim(topic.name, 2);
      await using follower = new Follower(fixture.connect(topic), topic);
      await follower.has("record-5");
      expect(follower.values).toEqual(["record-4", "record-5"]);
      expect(follower.offsets).toEqual([4, 5]);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "a topic without records is at its end at once",
    async () => {
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      await using follower = new Follower(fixture.connect(topic), topic);
      await eventually(() => follower.ends.length > 0, "it is told that there is nothing");
      expect(follower.values).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );
}

/** The same about a broker that becomes unavailable. */
export function followingOutages(broker: () => BrokerUnderTest): void {
  test(
    "who follows a topic goes on where it was after an outage, and begins anew where the log is another one",
    async () => {
      const outage = required(broker().outage);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const published = async (value: string) => {
        await eventually(
          async () => !(await rejects(client.publish([record(topic, "key", value)]))),
          `${value} is published`,
        );
      };
      await published("first");
      await published("second");
      await using follower = new Follower(client, topic);
      await follower.has("first", "second");
      await outage.begin();
      await eventually(() => !follower.subscription.healthy(), "it is not healthy");
      const ends = follower.ends.length;
      await outage.end({ keepData: true });
      await published("third");
      await follower.has("third");
      expect(follower.ends.length).toBeGreaterThan(ends);
      // One that was sent again is stored twice.
      expect(follower.offsets).toEqual(follower.offsets.map((_, index) => index));
      await outage.begin();
      await outage.end({ keepData: false });
      await published("anew");
      await follower.has("anew");
      expect(follower.offsets.slice(follower.values.indexOf("anew"))[0]).toBe(0);
      await eventually(() => follower.subscription.healthy(), "it is healthy");
    },
    TEST_TIMEOUT_MS,
  );
}
