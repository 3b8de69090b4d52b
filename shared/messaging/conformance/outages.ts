import { expect, test } from "bun:test";
import { eventually } from "../testing/eventually.ts";
import { type BrokerUnderTest, needed, PATIENT_MS } from "./broker.ts";
import { Fixture, numbered, record, rejects } from "./fixture.ts";

/** Far more than a stop takes, far less than one that waits for the broker. */
const PROMPT_MS = 10_000;

/** What is promised when the broker goes away. Each test begins and ends with one that is there. */
export function outages(broker: () => BrokerUnderTest): void {
  test(
    "publish rejects while the broker is away, and succeeds when it is back",
    async () => {
      const outage = needed(broker().outage);
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
    PATIENT_MS,
  );

  test(
    "readers go on where they were when the broker is back, and say meanwhile that nothing flows",
    async () => {
      const outage = needed(broker().outage);
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
      // One that begins meanwhile is there later, too.
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
    PATIENT_MS,
  );

  test(
    "readers read a broker that lost its data from the beginning",
    async () => {
      const outage = needed(broker().outage);
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
    PATIENT_MS,
  );

  test(
    "what is stopped while the broker is away stops soon",
    async () => {
      const outage = needed(broker().outage);
      await using fixture = new Fixture(broker());
      const topic = fixture.topic(1);
      const client = fixture.connect(topic);
      const reader = fixture.read(client, { topics: [topic] });
      await client.publish([record(topic, "key", "value")]);
      await reader.hasAll(["value"]);
      await outage.begin();
      try {
        const begunMeanwhile = fixture.read(client, { topics: [topic] });
        const startedMs = performance.now();
        await Promise.all([reader.subscription.stop(), begunMeanwhile.subscription.stop()]);
        await client.close();
        expect(performance.now() - startedMs).toBeLessThan(PROMPT_MS);
        expect(begunMeanwhile.starts).toEqual([]);
      } finally {
        await outage.end({ keepData: true });
      }
    },
    PATIENT_MS,
  );
}

/** As the relay does: again and again until it is acknowledged. */
async function untilPublished(publish: () => Promise<void>): Promise<void> {
  let isDone = false;
  let isTrying = false;
  await eventually(() => {
    if (!isDone && !isTrying) {
      isTrying = true;
      void rejects(publish()).then((failed) => {
        isDone = !failed;
        isTrying = false;
      });
    }
    return isDone;
  }, "it is published");
}
