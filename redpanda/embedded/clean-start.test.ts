/** A start after a clean stop does not read the records; they are verified before they are used, and damage is found. */
import { afterEach, expect, test } from "bun:test";
import { readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Broker } from "./broker.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import { recover } from "./log/recovery.ts";
import { applyRetention } from "./log/retention.ts";
import { findByTimestamp } from "./log/timestamps.ts";
import { PartitionLog } from "./log.ts";
import { createLogger } from "./logger.ts";
import { Disk } from "./storage/disk.ts";
import { batchOf, textsIn } from "./testing/batches.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { parseTopicConfig } from "./topics/config.ts";

afterEach(cleanAll);

const PADDING = "x".repeat(3_000);
const RECORDS = 9;

async function temporaryOptions(write: (line: string) => void = () => {}) {
  return {
    directory: await temporaryDirectory(),
    disk: new Disk(),
    config: parseTopicConfig({ "segment.bytes": "10000" }),
    logger: createLogger("warn", write),
  };
}

/** A closed log with three records in each of three segments, its options and its summary. */
async function closedLog() {
  const lines: string[] = [];
  const options = await temporaryOptions((line) => lines.push(line));
  const { disk } = options;
  const log = await PartitionLog.open(options);
  for (let number = 0; number < RECORDS; number++) {
    const sent = { value: `${number} ${PADDING}`, timestamp: 1_000 + number };
    await log.append(batchOf([sent], { producerId: 7, epoch: 0, sequence: number })).durable;
  }
  const { summary } = log;
  const paths = log.segments.all.map(({ path }) => path);
  await log.close();
  expect(paths).toHaveLength(3);
  if (!summary) throw new Error("a log without damage has a summary");
  let reads = 0;
  disk.fault = (operation) => {
    if (operation === "read") reads += 1;
  };
  const reopen = async (changed = summary) => {
    const again = await PartitionLog.open(options, { cleanStop: true, summary: changed });
    cleanUp(() => (again.isClosed ? undefined : again.close()));
    return again;
  };
  return { options, summary, paths, lines, reopen, reads: () => reads };
}

/** The number of each record, or its error code. */
async function contentOf(log: PartitionLog): Promise<string[]> {
  const content: string[] = [];
  for (let offset = 0; offset < log.highWatermark; offset++) {
    content.push(
      await log.read(offset, 1, true).then(
        (bytes) => textsIn(bytes).join().split(" ")[0] ?? "",
        (error: unknown) => (error instanceof KafkaError ? `error ${error.code}` : String(error)),
      ),
    );
  }
  return content;
}

const intact = Array.from({ length: RECORDS }, (_, number) => `${number}:=${number}`);
const CORRUPT = `error ${ErrorCode.CORRUPT_MESSAGE}`;

async function damage(path: string | undefined, at: number): Promise<void> {
  const bytes = await readFile(path ?? "");
  await writeFile(path ?? "", bytes.fill(bytes.readUInt8(at) ^ 1, at, at + 1));
}

test("nothing is read to open the log; each segment is read once, before its first use", async () => {
  const { reopen, reads } = await closedLog();
  const log = await reopen();
  expect([log.highWatermark, log.segments.all.length, reads()]).toEqual([RECORDS, 3, 0]);
  expect(await contentOf(log)).toEqual(intact);
  const once = reads();
  await log.verify();
  expect(reads()).toBe(once);
  // The producer goes on with its sequence, also with a batch that it sends again.
  const batch = (sequence: number) => batchOf(["again"], { producerId: 7, epoch: 0, sequence });
  expect([log.append(batch(8)).baseOffset, log.append(batch(9)).baseOffset]).toEqual([8, 9]);
  expect(() => log.append(batch(12))).toThrow("sequence");
});

test("damage is an error to the reader and one line in the log, and everything else is served", async () => {
  const { reopen, paths, lines, options } = await closedLog();
  await damage(paths[0], 3_200);
  const { size } = Bun.file(paths[2] ?? "");
  await damage(paths[2], size - 10);
  const log = await reopen();
  expect(lines).toEqual([]);
  // The end is known, so the log goes on before the damage is found.
  const { baseOffset, durable } = log.append(batchOf([{ value: "9", timestamp: 500 }]));
  await durable;
  expect(baseOffset).toBe(RECORDS);
  expect(await contentOf(log)).toEqual([...intact.with(1, CORRUPT).with(8, CORRUPT), "9:=9"]);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: "error", msg: "a segment is damaged", path: paths[0], offsets: "1..1" },
    { level: "error", msg: "a segment is damaged", path: paths[2], offsets: "8..8" },
  ]);
  const { summary } = log;
  await log.close();
  const again = await PartitionLog.open(options, { cleanStop: true, summary });
  cleanUp(() => again.close());
  expect((await contentOf(again)).slice(7)).toEqual(["7:=7", CORRUPT, "9:=9"]);
});

test("what is appended behind small damage that is not found yet, is found by its offset", async () => {
  const log = await PartitionLog.open(await temporaryOptions());
  await log.append(batchOf(["a"])).durable;
  await log.close();
  const { summary } = log;
  await damage(log.segments.active.path, log.segments.active.size - 1);
  const again = await PartitionLog.open(log.options, { cleanStop: true, summary });
  cleanUp(() => again.close());
  await again.append(batchOf(["b"])).durable;
  expect(await contentOf(again)).toEqual([CORRUPT, "1:=b"]);
});

test("a lookup by timestamp does not pass over damage whose timestamps are not known", async () => {
  const log = await PartitionLog.open(await temporaryOptions());
  for (const timestamp of [10, 50, 20]) await log.append(batchOf([{ value: "x", timestamp }])).durable;
  await log.close();
  await damage(log.segments.active.path, Math.floor(log.segments.active.size / 2));
  const read = await PartitionLog.open(log.options, { cleanStop: true });
  await read.close();
  const again = await PartitionLog.open(log.options, { cleanStop: true, summary: read.summary });
  cleanUp(() => again.close());
  await again.append(batchOf([{ value: "x", timestamp: 60 }])).durable;
  expect(await findByTimestamp(again, 5)).toEqual({ timestamp: 10, offset: 0 });
  await expect(findByTimestamp(again, 40)).rejects.toMatchObject({ code: ErrorCode.CORRUPT_MESSAGE });
});

test("a last segment that lost or gained bytes after the stop loses no offset", async () => {
  for (const change of [
    async (path: string) => truncate(path, 2 * batchOf([`6 ${PADDING}`]).bytes.length),
    async (path: string) => truncate(path, 0),
    async (path: string) => writeFile(path, Buffer.alloc(100), { flag: "a" }),
  ]) {
    const { reopen, paths, lines } = await closedLog();
    await change(paths[2] ?? "");
    const log = await reopen();
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ msg: "the segments are not those of the last stop" });
    const { baseOffset, durable } = log.append(batchOf(["9"]));
    await durable;
    expect(baseOffset).toBe(RECORDS);
    const content = await contentOf(log);
    expect(content.slice(0, 6)).toEqual(intact.slice(0, 6));
    expect(content.slice(9)).toEqual(["9:=9"]);
    for (const offset of [6, 7, 8]) expect([intact[offset], CORRUPT]).toContain(content[offset]);
  }
});

test.each<[what: string, change: (paths: string[]) => Promise<void>]>([
  ["is shorter", (paths) => writeFile(paths[1] ?? "", "")],
  ["is longer", (paths) => writeFile(paths[1] ?? "", Buffer.alloc(100), { flag: "a" })],
  ["is missing", (paths) => rm(paths[0] ?? "")],
])("when a segment %s, other than the summary says, the files are read", async (_what, change) => {
  const { reopen, paths, reads, lines, options } = await closedLog();
  await change(paths);
  const log = await reopen();
  expect(reads()).toBeGreaterThan(0);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "error",
    msg: "the segments are not those of the last stop",
  });
  const read = await recover(options, { cleanStop: true, hasGaps: false });
  cleanUp(async () => {
    for (const segment of read.segments) await segment.retire();
  });
  expect(log.segments.all.map(({ damages }) => damages)).toEqual(read.segments.map(({ damages }) => damages));
  expect(options.disk.openFiles).toBe(log.segments.all.length + read.segments.length);
});

test("a failure of the disk is not taken for damage: a later read tries again", async () => {
  const { reopen, options } = await closedLog();
  const log = await reopen();
  options.disk.fault = (operation) => {
    if (operation === "read") throw new Error("the disk is gone");
  };
  await expect(log.read(0, 1, true)).rejects.toThrow("the disk is gone");
  options.disk.fault = undefined;
  expect(await contentOf(log)).toEqual(intact);
});

test("a segment that retention deletes is not verified any more, and its file is closed once", async () => {
  const { reopen, options } = await closedLog();
  const log = await reopen();
  const [, second] = log.segments.all;
  await applyRetention(log);
  expect(log.startOffset).toBe(RECORDS);
  await second?.verified();
  expect(options.disk.openFiles).toBe(1);
});

test("a lookup by timestamp goes on when its segment is deleted while it is verified", async () => {
  const { reopen } = await closedLog();
  const log = await reopen();
  const { first } = log.segments;
  const found = findByTimestamp(log, 1_000);
  log.segments.replace([first], []);
  await first.retire();
  expect(await found).toEqual({ timestamp: 1_003, offset: 3 });
});

test("open and aborted transactions are known without reading", async () => {
  const options = await temporaryOptions();
  const log = await PartitionLog.open(options);
  const write = async (producerId: number) => {
    const batch = batchOf(["x"], { producerId, epoch: 0, sequence: 0, transactional: true });
    await log.append(batch).durable;
  };
  await write(1);
  await log.endTransaction({ producerId: 1, epoch: 0, outcome: "abort" });
  await write(2);
  const { summary } = log;
  await log.close();
  options.disk.fault = (operation) => {
    if (operation === "read") throw new Error("not needed");
  };
  // As the file has it.
  const stored = JSON.parse(JSON.stringify(summary));
  const again = await PartitionLog.open(options, { cleanStop: true, summary: stored });
  cleanUp(() => again.close());
  expect(again.lastStableOffset).toBe(2);
  expect(again.producers.transactions.aborted(0, 2)).toMatchObject([{ producerId: 1, firstOffset: 0 }]);
  await again.endTransaction({ producerId: 2, epoch: 0, outcome: "commit" });
  expect(again.lastStableOffset).toBe(4);
});

/** A stopped broker with one topic of one record, after a clean stop. */
async function stoppedBroker(): Promise<string> {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir });
  await logOf(broker, true).then(([log]) => log?.append(batchOf([PADDING])).durable);
  await broker.stop();
  return dataDir;
}

async function logOf(broker: Broker, create = false): Promise<PartitionLog[]> {
  if (create) await broker.createTopic({ name: "t" });
  return broker.topics.resolve({ name: "t", id: null }).partitions;
}

test("damage is reported soon after the start, though nobody reads it", async () => {
  const dataDir = await stoppedBroker();
  const found = (await readdir(dataDir, { recursive: true })).find((name) => name.endsWith(".log"));
  await damage(join(dataDir, found ?? ""), 1_000);
  const reported = Promise.withResolvers<string>();
  await temporaryBroker({ dataDir, logger: createLogger("error", reported.resolve) });
  expect(JSON.parse(await reported.promise)).toMatchObject({ msg: "a segment is damaged", offsets: "0..0" });
});

test("without the summary, as an earlier version stopped, or with a damaged one, the files are read", async () => {
  const dataDir = await stoppedBroker();
  const path = join(dataDir, "clean-stop");
  const summary = await readFile(path, "utf8");
  expect(summary).toMatch(/^2-[0-9a-f]+ \{"t\./);
  for (const content of [
    "",
    summary.slice(0, -1),
    summary.replace("size", "sice"),
    summary.replace("2-", "1-"),
  ]) {
    await writeFile(path, content);
    const broker = await temporaryBroker({ dataDir });
    const [log] = await logOf(broker);
    expect(textsIn((await log?.read(0, 1, true)) ?? Buffer.alloc(0))).toEqual([`0:=${PADDING}`]);
    await broker.stop();
    expect(await readFile(path, "utf8")).toBe(summary);
  }
});
