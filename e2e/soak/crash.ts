import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { type Load, startLoad } from "../clients/load.ts";
import { brokerProcess } from "../support/broker-process.ts";

interface CrashOptions {
  readonly rounds: number;
  readonly report: (line: string) => void;
}

const TOPIC = "crash";
const PARTITIONS = 6;
const PRODUCERS = 4;
/** So many bytes of acknowledgements before each kill: some ten thousand records. */
const ENOUGH = 1_000_000;
/** How much later the kill comes at most, so that it hits any moment of a write. */
const MOST_DELAY_MS = 100;
/** How long acknowledgements may fail to come, after a start, on a slow machine. */
const STALL_MS = 60_000;

/**
 * Kills the embedded broker with SIGKILL, again and again, while franz-go producers send as fast as it acknowledges, then
 * reads everything back.
 *
 * @returns what was wrong: acknowledged records that are missing or elsewhere, records that are stored twice
 * @throws ClientMissing when Go is missing
 */
export async function crash({ rounds, report }: CrashOptions): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "crash-"));
  const { broker, brokers } = brokerProcess(folder, report);
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });
  let load: Load | undefined;
  try {
    await broker.start();
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS }] });
    await admin.disconnect();
    load = await startLoad({
      brokers,
      topic: TOPIC,
      producers: PRODUCERS,
      output: join(folder, "acknowledged"),
    });
    for (let round = 1; round <= rounds; round++) {
      await untilAcknowledged(load, ENOUGH);
      await Bun.sleep(Math.random() * MOST_DELAY_MS);
      await broker.kill();
      await broker.ready();
      report(`round ${round}: killed`);
    }
    await untilAcknowledged(load, ENOUGH);
    await load.stop();
    return await compare(load, await readAll(kafka), report);
  } finally {
    await load?.kill();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function untilAcknowledged(load: Load, bytes: number): Promise<void> {
  const enough = load.outputBytes + bytes;
  for (let known = load.outputBytes, knownAt = Date.now(); known < enough; await Bun.sleep(10)) {
    if (load.outputBytes > known) [known, knownAt] = [load.outputBytes, Date.now()];
    else if (Date.now() - knownAt > STALL_MS) throw new Error(`nothing was acknowledged for ${STALL_MS} ms`);
  }
}

/** The values of each partition, by offset. */
async function readAll(kafka: Kafka): Promise<string[][]> {
  const stored = Array.from({ length: PARTITIONS }, (): string[] => []);
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(TOPIC);
  await admin.disconnect();
  const isComplete = () => ends.every(({ partition, high }) => stored[partition]?.length === Number(high));
  const complete = Promise.withResolvers<void>();
  const consumer = kafka.consumer({ groupId: "check", maxBytesPerPartition: 4 * 1024 * 1024 });
  await consumer.connect();
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
  await consumer.run({
    eachBatch: async ({ batch }) => {
      const values = stored[batch.partition];
      for (const { offset, value } of batch.messages) if (values) values[Number(offset)] = String(value);
      if (isComplete()) complete.resolve();
    },
  });
  await complete.promise;
  await consumer.disconnect();
  return stored;
}

async function compare(load: Load, stored: string[][], report: (line: string) => void): Promise<string[]> {
  const failures: string[] = [];
  let acknowledged = 0;
  for await (const { partition, offset, value } of load.acknowledged()) {
    acknowledged += 1;
    const found = stored[partition]?.[offset];
    if (found !== value) failures.push(`${value} is not at ${partition}/${offset}, where there is ${found}`);
  }
  const records = stored.reduce((sum, values) => sum + values.length, 0);
  const different = new Set(stored.flat()).size;
  if (different !== records) failures.push(`${records - different} records are stored twice`);
  report(`${acknowledged} records were acknowledged, ${records} are stored`);
  if (acknowledged === 0) failures.push("nothing was acknowledged");
  return failures;
}
