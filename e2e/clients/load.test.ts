import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Kafka, logLevel } from "kafkajs";
import { brokerProcess } from "../support/broker-process.ts";
import { startLoad } from "./load.ts";

const folder = mkdtempSync(join(tmpdir(), "load-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PARTITIONS = 2;
/** So many bytes of acknowledgements before the broker is killed, and again after it. */
const ENOUGH = 50_000;
const LIMIT_MS = 180_000;

const goMissing = Bun.which("go") === null;
if (goMissing) console.warn("Go is not installed: the test of the load is skipped");

test.skipIf(goMissing || process.env.SLOW_TESTS !== "true")(
  "each record that the load reports as acknowledged is in the log once, at its offset, after a kill -9",
  async () => {
    const { broker, brokers } = brokerProcess(folder, console.warn);
    await broker.start();
    const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.createTopics({ topics: [{ topic: "t", numPartitions: PARTITIONS }] });
    const load = await startLoad({ brokers, topic: "t", producers: 2, output: join(folder, "acknowledged") });
    try {
      await eventually(() => load.outputBytes > ENOUGH);
      await broker.kill();
      await broker.ready();
      const restartedAt = load.outputBytes;
      await eventually(() => load.outputBytes > restartedAt + ENOUGH);
      await load.stop();
      const stored = await valuesIn(kafka, await admin.fetchTopicOffsets("t"));
      let count = 0;
      for await (const { partition, offset, value } of load.acknowledged()) {
        count += 1;
        if (stored.get(`${partition} ${offset}`) !== value) {
          throw new Error(`${value} is not at offset ${offset} of partition ${partition}`);
        }
      }
      // A resent record is not stored twice.
      expect(new Set(stored.values()).size).toBe(stored.size);
      expect(count).toBeGreaterThan(0);
    } finally {
      await load.kill();
      await admin.disconnect();
      await broker.stop();
    }
  },
  LIMIT_MS,
);

/** The value of each record of the topic, by `partition offset`. */
async function valuesIn(
  kafka: Kafka,
  ends: readonly { readonly partition: number; readonly high: string }[],
): Promise<Map<string, string>> {
  const stored = new Map<string, string>();
  const total = ends.reduce((sum, { high }) => sum + Number(high), 0);
  const consumer = kafka.consumer({ groupId: "check" });
  await consumer.subscribe({ topic: "t", fromBeginning: true });
  const everything = Promise.withResolvers<void>();
  await consumer.run({
    eachBatch: async ({ batch }) => {
      for (const { offset, value } of batch.messages) {
        stored.set(`${batch.partition} ${offset}`, String(value));
      }
      if (stored.size >= total) everything.resolve();
    },
  });
  await everything.promise;
  await consumer.disconnect();
  return stored;
}
