/** Changes of a topic's configurations: durable, in effect at once, all or nothing. */
import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import type { Broker } from "../broker.ts";
import { ErrorCode } from "../errors.ts";
import { createLogger } from "../logger.ts";
import { Disk } from "../storage/disk.ts";
import { Journal } from "../storage/journal.ts";
import { batchesIn, batchOf, textsIn } from "../testing/batches.ts";
import { RawClient } from "../testing/raw-client.ts";
import { PRODUCE, produceBody, produced } from "../testing/requests.ts";
import { cleanAll, temporaryBroker, temporaryDirectory } from "../testing/temporary.ts";
import type { Topic } from "../topics.ts";

afterEach(cleanAll);

/** Each segment has one batch. */
const TINY = { "segment.bytes": "14", "min.cleanable.dirty.ratio": "0", "retention.ms": "-1" };
const COMPACT = { ...TINY, "cleanup.policy": "compact" };

const topicOf = (broker: Broker): Topic => broker.topics.resolve({ name: "t", id: null });
const logOf = (broker: Broker) => broker.topics.log({ name: "t", id: null }, 0);

async function put(broker: Broker, ...values: string[]): Promise<void> {
  for (const value of values) await logOf(broker).append(batchOf([{ key: "k", value }])).durable;
}

/** The values from the first offset on. @throws KafkaError where the log is damaged */
async function contents(broker: Broker): Promise<string[]> {
  const log = logOf(broker);
  const values: string[] = [];
  for (let offset = log.startOffset; offset < log.highWatermark; ) {
    const read = await log.read(offset, 2 ** 30, true);
    const last = batchesIn(read).at(-1);
    if (!last) break;
    values.push(...textsIn(read).map((text) => text.replace(/^.*=/, "")));
    offset = last.lastOffset + 1;
  }
  return values;
}

/** The broker starts again from its files. */
async function restarted(broker: Broker): Promise<Broker> {
  await broker.stop();
  const { dataDir } = broker.options;
  if (dataDir === undefined) throw new Error("it has files");
  return temporaryBroker({ dataDir });
}

test("a change survives a restart", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 2, { "retention.ms": "5" });
  await broker.topics.configure(topicOf(broker), { "max.message.bytes": "100" }, false);
  const topic = topicOf(await restarted(broker));
  expect(topic.overrides).toEqual({ "max.message.bytes": "100" });
  expect(topic.config.maxMessageBytes).toBe(100);
  expect(topic.partitions).toHaveLength(2);
});

test("a change and partitions that are added keep each other", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, {});
  await broker.topics.configure(topicOf(broker), COMPACT, false);
  await broker.topics.grow(topicOf(broker), 2, false);
  await broker.topics.configure(topicOf(broker), TINY, false);
  await broker.topics.grow(topicOf(broker), 3, false);
  const topic = topicOf(await restarted(broker));
  expect([topic.overrides, topic.partitions.length, topic.compacted]).toEqual([TINY, 3, true]);
});

test("max.message.bytes takes effect at the next Produce", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, {});
  const client = await RawClient.connect(broker);
  const produce = async () =>
    produced(await client.request(0, PRODUCE, produceBody("t", batchOf(["x".repeat(500)])))).code;
  expect(await produce()).toBe(ErrorCode.NONE);
  await broker.topics.configure(topicOf(broker), { "max.message.bytes": "500" }, false);
  expect(await produce()).toBe(ErrorCode.MESSAGE_TOO_LARGE);
  await broker.topics.configure(topicOf(broker), {}, false);
  expect(await produce()).toBe(ErrorCode.NONE);
});

test("retention, cleanup.policy and segment.bytes take effect at the next run of the cleaner", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, {});
  await put(broker, "a", "b");
  expect(logOf(broker).segments.all).toHaveLength(1);
  await broker.topics.configure(topicOf(broker), TINY, false);
  await put(broker, "c", "d");
  expect(logOf(broker).segments.all).toHaveLength(3);
  await broker.cleaner.run();
  expect(await contents(broker)).toEqual(["a", "b", "c", "d"]);
  await broker.topics.configure(topicOf(broker), COMPACT, false);
  await broker.cleaner.run();
  expect(await contents(broker)).toEqual(["c", "d"]);
  await broker.topics.configure(topicOf(broker), { ...TINY, "retention.bytes": "1" }, false);
  await broker.cleaner.run();
  expect(await contents(broker)).toEqual(["d"]);
});

test("without a cleanup.policy everything is kept", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, { ...COMPACT, "cleanup.policy": "", "retention.bytes": "0" });
  await put(broker, "a", "b");
  await broker.cleaner.run();
  expect(await contents(broker)).toEqual(["a", "b"]);
});

test("the gaps of a topic that was compacted are no damage when it is compacted no longer", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, COMPACT);
  await put(broker, "a", "b", "c", "d");
  await broker.cleaner.run();
  await broker.topics.configure(topicOf(broker), TINY, false);
  const again = await restarted(broker);
  expect(await contents(again)).toEqual(["c", "d"]);
  expect(logOf(again).segments.all.flatMap(({ damages }) => damages)).toEqual([]);
});

test("nor are those of a topic that an earlier version has stored", async () => {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir });
  const { id } = await broker.topics.create("t", 1, COMPACT);
  await put(broker, "a", "b", "c", "d");
  await broker.cleaner.run();
  await broker.stop();
  const path = join(dataDir, "state.journal");
  const journal = await Journal.open(new Disk(), path, { cleanStop: true, logger: createLogger("silent") });
  await journal.write([["topic/t", { id, partitions: 1, overrides: COMPACT }]]);
  await journal.close();
  const later = await temporaryBroker({ dataDir });
  await later.topics.configure(topicOf(later), TINY, false);
  expect(await contents(await restarted(later))).toEqual(["c", "d"]);
});

test("what cannot be stored, is only validated or is invalid changes nothing", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, { "retention.ms": "5" });
  const topic = topicOf(broker);
  await broker.topics.configure(topic, { "retention.ms": "6" }, true);
  await expect(broker.topics.configure(topic, { "retention.ms": "soon" }, false)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
  });
  broker.disk.fault = (operation, path) => {
    if (operation === "sync" && path.endsWith("state.journal")) throw new Error("broken");
  };
  await expect(broker.topics.configure(topic, { "retention.ms": "7" }, false)).rejects.toMatchObject({
    code: ErrorCode.KAFKA_STORAGE_ERROR,
  });
  expect([topic.overrides, topic.config.retentionMs]).toEqual([{ "retention.ms": "5" }, 5]);
});

test("of two changes at once one is refused, so that none is lost", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, {});
  const first = broker.topics.configure(topicOf(broker), { "retention.ms": "5" }, false);
  await expect(broker.topics.configure(topicOf(broker), { "segment.ms": "5" }, false)).rejects.toMatchObject({
    code: ErrorCode.REQUEST_TIMED_OUT,
  });
  await first;
  expect(topicOf(broker).overrides).toEqual({ "retention.ms": "5" });
});

test("a stored configuration whose values do not fit together is read", async () => {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir });
  const { id } = await broker.topics.create("t", 1, {});
  await broker.stop();
  const path = join(dataDir, "state.journal");
  const journal = await Journal.open(new Disk(), path, { cleanStop: true, logger: createLogger("silent") });
  const overrides = { "min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9" };
  await journal.write([["topic/t", { id, partitions: 1, overrides }]]);
  await journal.close();
  expect(topicOf(await temporaryBroker({ dataDir })).overrides).toEqual(overrides);
});
