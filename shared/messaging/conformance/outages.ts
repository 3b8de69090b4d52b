import { expect, test } from "bun:test";
import { eventually } from "../testing/eventually.ts";
import { type BrokerUnderTest, required, TEST_TIMEOUT_MS } from "./broker.ts";
import { Fixture, numbered, record, rejects } from "./fixture.ts";

/** Far more than a stop takes, far less than waiting for the broker takes. */
const PROMPT_MS = 10_000;

/** The promises about a broker that becomes unavailable. Each test starts and ends with an available one. */
export function outages(broker: () => BrokerUnderTest): void {
  test(
    "publish rejects while the broker is unavailable, and succeeds when it is back",
    async () => {
      const outage = required(broker().outage);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const sender = fixture.connect(topic);
      await sender.publish([record(topic, "key", "before")]);
      await outage.begin();
      expect(await rejects(sender.publish([record(topic, "key", "meanwhile")]))).toBe(true);
      expect(await rejects(sender.publish([record(topic, "key", "meanwhile")]))).toBe(true);
      await outage.end({ keepData: true });
      await untilPublished(() => sender.publish([record(topic, "key", "after")]));
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(["before", "after"]);
      expect(reader.values.indexOf("before")).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "readers continue where they were when the broker is back, and are not healthy meanwhile",
    async () => {
      const outage = required(broker().outage);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic();
      const sender = fixture.connect(topic);
      const values = numbered("before-", 40);
      await sender.publish(values.map((value) => record(topic, value, value)));
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await reader.hasAll(values);
      await reader.isHealthy();
      const asked = reader.starts.length;
      await outage.begin();
      await eventually(() => !reader.subscription.healthy(), "it is not healthy");
      // A reader that starts during the outage.
      const late = fixture.read(fixture.connect(topic), { topics: [topic] });
      await outage.end({ keepData: true });
      await untilPublished(() =>
        sender.publish(values.map((value) => record(topic, value, `after ${value}`))),
      );
      const after = values.map((value) => `after ${value}`);
      await reader.hasAll(after);
      await late.hasAll([...values, ...after]);
      await reader.isHealthy();
      expect(reader.starts.length).toBeGreaterThan(asked);
      expect(reader.redelivered).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "readers read a broker that lost its data from the beginning",
    async () => {
      const outage = required(broker().outage);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const sender = fixture.connect(topic);
      const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
      await sender.publish(numbered("lost-", 10).map((value) => record(topic, "key", value)));
      await reader.hasAll(numbered("lost-", 10));
      const asked = reader.starts.length;
      await outage.begin();
      await outage.end({ keepData: false });
      await untilPublished(() =>
        sender.publish(numbered("new-", 3).map((value) => record(topic, "key", value))),
      );
      await reader.hasAll(numbered("new-", 3));
      expect(reader.starts.length).toBeGreaterThan(asked);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "subscriptions and clients stop soon while the broker is unavailable",
    async () => {
      const outage = required(broker().outage);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const reader = fixture.read(client, { topics: [topic] });
      await client.publish([record(topic, "key", "value")]);
      await reader.hasAll(["value"]);
      await outage.begin();
      try {
        const startedMeanwhile = fixture.read(client, { topics: [topic] });
        const startedMs = performance.now();
        await Promise.all([reader.subscription.stop(), startedMeanwhile.subscription.stop()]);
        await client.close();
        expect(performance.now() - startedMs).toBeLessThan(PROMPT_MS);
        expect(startedMeanwhile.starts).toEqual([]);
      } finally {
        await outage.end({ keepData: true });
      }
    },
    TEST_TIMEOUT_MS,
  );
}

/** Publishes until it is acknowledged, as the relay does. */
async function untilPublished(publish: () => Promise<void>): Promise<void> {
  await eventually(async () => !(await rejects(publish())), "it is published");
}
