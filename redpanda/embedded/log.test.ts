import { afterEach, expect, test } from "bun:test";
import { appendFile, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ErrorCode, KafkaError } from "./errors.ts";
import type { RecordBatch } from "./log/batch.ts";
import { Codec } from "./log/codecs.ts";
import { findByTimestamp, findMaxTimestamp } from "./log/timestamps.ts";
import { PartitionLog } from "./log.ts";
import { createLogger } from "./logger.ts";
import { Disk, type DiskOperation } from "./storage/disk.ts";
import { batchesIn, batchOf, textsIn } from "./testing/batches.ts";
import { cleanAll, cleanUp, temporaryDirectory } from "./testing/temporary.ts";
import { parseTopicConfig } from "./topics/config.ts";

afterEach(cleanAll);

const ALL = 2 ** 30;

async function openLog(
  directory: string,
  configs: Record<string, string> = {},
  disk = new Disk(),
  cleanStop = false,
) {
  const config = parseTopicConfig(configs);
  const options = { directory, disk, config, logger: createLogger("silent") };
  const log = await PartitionLog.open(options, { cleanStop });
  cleanUp(() => (log.isClosed ? undefined : log.close()));
  return log;
}

async function append(log: PartitionLog, ...batches: RecordBatch[]): Promise<number[]> {
  const appended = batches.map((batch) => log.append(batch));
  await Promise.all(appended.map(({ durable }) => durable));
  return appended.map(({ baseOffset }) => baseOffset);
}

async function refusalOf(durable: Promise<void>): Promise<unknown> {
  return durable.then(
    () => undefined,
    (error: unknown) => (error instanceof KafkaError ? error.code : error),
  );
}

/** Opens the same directory again. */
async function reopen(log: PartitionLog, configs: Record<string, string> = {}): Promise<PartitionLog> {
  await log.close();
  return openLog(log.options.directory, configs);
}

test("offsets are consecutive; a read starts with the batch that contains its offset", async () => {
  const log = await openLog(await temporaryDirectory());
  expect(await append(log, batchOf(["a", "b"]), batchOf(["c"]), batchOf(["d", "e"]))).toEqual([0, 2, 3]);
  expect(textsIn(await log.read(0, ALL, true))).toEqual(["0:=a", "1:=b", "2:=c", "3:=d", "4:=e"]);
  expect(textsIn(await log.read(4, ALL, true))).toEqual(["3:=d", "4:=e"]);
  expect(await log.read(5, ALL, true)).toBeEmpty();
  await expect(log.read(6, ALL, true)).rejects.toMatchObject({ code: ErrorCode.OFFSET_OUT_OF_RANGE });
  await expect(log.read(-1, ALL, true)).rejects.toMatchObject({ code: ErrorCode.OFFSET_OUT_OF_RANGE });
});

test("a read is limited in bytes, except for the first batch with `atLeastOne`", async () => {
  const log = await openLog(await temporaryDirectory());
  const large = batchOf(["x".repeat(10_000)]);
  await append(log, large, batchOf(["b"]), batchOf(["c"]));
  expect(batchesIn(await log.read(0, 100, true))).toHaveLength(1);
  expect(await log.read(0, 100, false)).toBeEmpty();
  expect(batchesIn(await log.read(1, 100, false))).toHaveLength(1);
  expect(batchesIn(await log.read(0, large.bytes.length + 10, true))).toHaveLength(1);
});

test("every offset of a long log with many segments can be read", async () => {
  const log = await openLog(await temporaryDirectory(), { "segment.bytes": "20000" });
  for (let i = 0; i < 300; i++) await append(log, batchOf([`first ${i}`.padEnd(i * 3), `second ${i}`]));
  expect(log.segments.all.length).toBeGreaterThan(5);
  const check = async (opened: PartitionLog) => {
    for (let offset = 0; offset < 600; offset++) {
      const [batch] = batchesIn(await opened.read(offset, 200, true));
      expect(batch?.baseOffset).toBe(offset - (offset % 2));
    }
  };
  await check(log);
  await check(await reopen(log));
});

test("a group becomes visible as a whole, after it is on disk", async () => {
  const disk = new Disk();
  const log = await openLog(await temporaryDirectory(), {}, disk);
  const seen: number[] = [];
  disk.fault = (operation) => {
    if (operation === "sync") seen.push(log.highWatermark);
  };
  log.onReadable(() => seen.push(log.highWatermark));
  await append(log, batchOf(["a"]), batchOf(["b", "c"]));
  expect(seen).toEqual([0, 3]);
});

test("appends during one sync share the next one", async () => {
  const disk = new Disk();
  const log = await openLog(await temporaryDirectory(), {}, disk);
  let syncs = 0;
  const late: Promise<void>[] = [];
  disk.fault = (operation) => {
    if (operation !== "sync") return;
    syncs += 1;
    if (syncs === 1) for (let i = 0; i < 50; i++) late.push(log.append(batchOf([`late ${i}`])).durable);
  };
  await append(log, batchOf(["first"]));
  await Promise.all(late);
  expect(late).toHaveLength(50);
  expect(syncs).toBe(2);
});

test("an append notifies a waiting reader", async () => {
  const log = await openLog(await temporaryDirectory());
  const woken = new Promise((resolve) => log.onReadable(resolve));
  const batch = batchOf(["a"]);
  await append(log, batch);
  expect(await woken).toBe(batch.bytes.length);
});

test.each([
  ["a write that was cut short", (bytes: Buffer) => bytes.subarray(0, bytes.length - 5)],
  ["a header that was cut short", (bytes: Buffer) => bytes.subarray(0, 20)],
  [
    "a page that was never written",
    (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 64), Buffer.alloc(bytes.length - 64)]),
  ],
  [
    "a length beyond all bounds",
    () => Buffer.concat([Buffer.alloc(8), Buffer.from([0x7f, 0xff, 0xff, 0xff])]),
  ],
  ["zeros, as a power cut leaves them", () => Buffer.alloc(5_000)],
])("after a crash the tail is cut off where it is %s", async (_what, tear) => {
  const log = await openLog(await temporaryDirectory());
  await append(log, batchOf(["a"]), batchOf(["b"]));
  const { path } = log.segments.active;
  const intact = await readFile(path);
  const torn = batchOf(["torn ".repeat(100)]);
  torn.assign(2);
  await appendFile(path, tear(torn.bytes));
  const again = await reopen(log);
  expect(again.highWatermark).toBe(2);
  expect(await readFile(path)).toEqual(intact);
  const files = await readdir(log.options.directory);
  const kept = files.find((name) => name.startsWith("00000000000000000000.log.cut-")) ?? "";
  expect((await readFile(join(log.options.directory, kept))).equals(tear(torn.bytes))).toBe(true);
  expect(await append(again, batchOf(["c"]))).toEqual([2]);
  expect(textsIn(await (await reopen(again)).read(0, ALL, true))).toEqual(["0:=a", "1:=b", "2:=c"]);
});

test("after a clean stop no tail is cut off: the end is damaged, and appends are refused", async () => {
  const log = await openLog(await temporaryDirectory());
  await append(log, batchOf(["a"]), batchOf(["b"]));
  await log.close();
  const { path } = log.segments.active;
  const damaged = await readFile(path);
  damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
  await writeFile(path, damaged);
  const again = await openLog(log.options.directory, {}, new Disk(), true);
  expect(await readFile(path)).toEqual(damaged);
  expect(textsIn(await again.read(0, ALL, true))).toEqual(["0:=a"]);
  for (const offset of [1, 2]) {
    await expect(again.read(offset, ALL, true)).rejects.toMatchObject({ code: ErrorCode.CORRUPT_MESSAGE });
  }
  expect(() => again.append(batchOf(["c"]))).toThrow("the next offset is unknown");
  await again.roll();
  expect(again.segments.all).toHaveLength(1);
});

test.each([false, true])(
  "damage before the end is an error to the reader; clean stop: %p",
  async (cleanStop) => {
    const log = await openLog(await temporaryDirectory(), { "segment.bytes": "250" });
    for (const text of ["a", "b", "c", "d", "e", "f", "g", "h", "i"]) await append(log, batchOf([text]));
    await log.close();
    const size = batchOf(["a"]).bytes.length;
    const paths = log.segments.all.map(({ path }) => path);
    expect(paths).toHaveLength(3);
    const damage = async (path = "", change: (bytes: Buffer) => Uint8Array) =>
      writeFile(path, change(await readFile(path)));
    // The length of `b`, all of `e` and `f`, the base offset of `h`.
    await damage(paths[0], (bytes) => bytes.fill(0x11, size + 8, size + 9));
    await damage(paths[1], (bytes) => bytes.subarray(0, size));
    await damage(paths[2], (bytes) => bytes.fill(0x11, size + 7, size + 8));
    const again = await openLog(log.options.directory, {}, new Disk(), cleanStop);
    expect(again.highWatermark).toBe(9);
    const served: string[] = [];
    for (let offset = 0; offset < 9; offset++) {
      served.push(
        await again.read(offset, size, true).then(
          (bytes) => textsIn(bytes).join(),
          (error: unknown) => (error instanceof KafkaError ? String(error.code) : String(error)),
        ),
      );
    }
    expect(served).toEqual(["0:=a", "2", "2:=c", "3:=d", "2", "2", "6:=g", "2", "8:=i"]);
    await expect(findByTimestamp(again, 2_000)).rejects.toMatchObject({ code: ErrorCode.CORRUPT_MESSAGE });
    expect(await append(again, batchOf(["j"]))).toEqual([9]);
    expect(textsIn(await again.read(8, ALL, true))).toEqual(["8:=i", "9:=j"]);
  },
);

test("a lookup by timestamp does not pass over damaged records", async () => {
  const log = await openLog(await temporaryDirectory());
  const padding = "x".repeat(5_000);
  for (const timestamp of [10, 20, 30]) await append(log, batchOf([{ value: padding, timestamp }]));
  await log.close();
  const { path } = log.segments.active;
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(0, bytes.length / 2, bytes.length / 2 + 1));
  const again = await openLog(log.options.directory);
  expect(await findByTimestamp(again, 5)).toEqual({ timestamp: 10, offset: 0 });
  for (const timestamp of [15, 25, 35]) {
    await expect(findByTimestamp(again, timestamp)).rejects.toMatchObject({
      code: ErrorCode.CORRUPT_MESSAGE,
    });
  }
});

/** A valid batch at offset 1 that is text, so that it can be the value of a record. */
function asciiBatch(): RecordBatch {
  for (let attempt = 0; ; attempt++) {
    const record = { value: `inner ${attempt}`, timestamp: 100 };
    const batch = batchOf([record], { producerId: 1, epoch: 0, sequence: 0 });
    batch.assign(1);
    if (batch.bytes.every((byte) => byte < 0x80)) return batch;
  }
}

test("a batch inside the value of a damaged record is not taken for a batch of the log", async () => {
  const log = await openLog(await temporaryDirectory());
  const inner = asciiBatch();
  await append(log, batchOf(["a"]));
  const { size } = log.segments.active;
  await append(log, batchOf([inner.bytes.toString("latin1")]), batchOf(["c"]));
  await log.close();
  const { path } = log.segments.active;
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(0xff, size + 20, size + 21));
  const again = await openLog(log.options.directory);
  await expect(again.read(1, ALL, true)).rejects.toMatchObject({ code: ErrorCode.CORRUPT_MESSAGE });
  expect(textsIn(await again.read(2, ALL, true))).toEqual(["2:=c"]);
});

test.each<DiskOperation>(["write", "sync"])(
  "when %s fails, appends that are not on disk are refused, and later ones succeed",
  async (broken) => {
    const disk = new Disk();
    const log = await openLog(await temporaryDirectory(), {}, disk);
    const idempotent = (sequence: number) => batchOf([`${sequence}`], { producerId: 1, epoch: 0, sequence });
    await append(log, idempotent(0));
    const before = await readFile(log.segments.active.path);
    disk.fault = (operation) => {
      if (operation === broken) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    };
    const refused = [idempotent(1), idempotent(2)].map((batch) => refusalOf(log.append(batch).durable));
    expect(await Promise.all(refused)).toEqual([
      ErrorCode.KAFKA_STORAGE_ERROR,
      ErrorCode.KAFKA_STORAGE_ERROR,
    ]);
    expect(log.highWatermark).toBe(1);
    expect(await readFile(log.segments.active.path)).toEqual(before);
    disk.fault = undefined;
    expect(await append(log, idempotent(1), idempotent(2))).toEqual([1, 2]);
    expect(textsIn(await (await reopen(log)).read(0, ALL, true))).toEqual(["0:=0", "1:=1", "2:=2"]);
  },
);

test("if the truncation after a failed write fails too, the next append repeats it", async () => {
  const disk = new Disk();
  const log = await openLog(await temporaryDirectory(), {}, disk);
  disk.fault = (operation) => {
    if (operation === "sync" || operation === "truncate") throw new Error("the disk is gone");
  };
  await expect(log.append(batchOf(["lost ".repeat(50)])).durable).rejects.toThrow();
  disk.fault = undefined;
  await append(log, batchOf(["a"]));
  expect(textsIn(await readFile(log.segments.active.path))).toEqual(["0:=a"]);
});

test("a duplicate of a batch that is not yet on disk succeeds or fails with it", async () => {
  const disk = new Disk();
  const log = await openLog(await temporaryDirectory(), {}, disk);
  const make = () => batchOf(["a"], { producerId: 1, epoch: 0, sequence: 0 });
  disk.fault = (operation) => {
    if (operation === "sync") throw new Error("broken");
  };
  const refused = [log.append(make()), log.append(make())].map(({ durable }) => refusalOf(durable));
  expect(await Promise.all(refused)).toEqual([ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.KAFKA_STORAGE_ERROR]);
  disk.fault = undefined;
  expect(await append(log, make(), make())).toEqual([0, 0]);
  expect(log.highWatermark).toBe(1);
});

test("the sequence of a producer survives a restart", async () => {
  const log = await openLog(await temporaryDirectory());
  const make = (sequence: number) => batchOf(["a"], { producerId: 1, epoch: 3, sequence });
  await append(log, make(0), make(1));
  const again = await reopen(log);
  expect(await append(again, make(1), make(2))).toEqual([1, 2]);
  expect(() => again.append(make(7))).toThrow();
});

test("offsets by timestamp", async () => {
  const log = await openLog(await temporaryDirectory(), { "segment.bytes": "300" });
  const at = (...timestamps: number[]) => batchOf(timestamps.map((timestamp) => ({ value: "x", timestamp })));
  await append(log, at(10, 20), at(15), at(40, 30), at(35), at(50));
  const find = async (timestamp: number) => (await findByTimestamp(log, timestamp)).offset;
  expect(await Promise.all([0, 10, 11, 21, 36, 41, 51].map(find))).toEqual([0, 0, 1, 3, 3, 6, -1]);
  expect(await findMaxTimestamp(log)).toEqual({ timestamp: 50, offset: 6 });
});

test.each(Object.entries(Codec))("offsets by timestamp in a batch with codec %s", async (_name, codec) => {
  const log = await openLog(await temporaryDirectory());
  const records = Array.from({ length: 100 }, (_, index) => ({ value: "x", timestamp: 1_000 + index }));
  await append(log, batchOf(records, { codec }));
  expect(await findByTimestamp(log, 1_050)).toEqual({ timestamp: 1_050, offset: 50 });
  expect(await findMaxTimestamp(log)).toEqual({ timestamp: 1_099, offset: 99 });
});

test("a closing log stores accepted batches and refuses new ones", async () => {
  const log = await openLog(await temporaryDirectory());
  const { durable } = log.append(batchOf(["a"]));
  await log.close();
  await durable;
  expect(() => log.append(batchOf(["b"]))).toThrow();
  expect(textsIn(await (await openLog(log.options.directory)).read(0, ALL, true))).toEqual(["0:=a"]);
});

test("an empty segment file, as a crash after a roll leaves it, is appended to", async () => {
  const log = await openLog(await temporaryDirectory());
  await append(log, batchOf(["a"]));
  await log.roll();
  const again = await reopen(log);
  expect(await append(again, batchOf(["b"]))).toEqual([1]);
  expect((await readdir(log.options.directory)).sort()).toEqual([
    "00000000000000000000.log",
    "00000000000000000001.log",
  ]);
});

test("a start ignores files that are not segments", async () => {
  const log = await openLog(await temporaryDirectory());
  await append(log, batchOf(["a"]));
  await writeFile(join(log.options.directory, "00000000000000000000.log.compacted"), "half a file");
  await truncate(log.segments.active.path, (await readFile(log.segments.active.path)).length);
  const again = await reopen(log);
  expect(again.highWatermark).toBe(1);
  expect(await readdir(log.options.directory)).toEqual(["00000000000000000000.log"]);
});
