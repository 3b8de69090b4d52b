import { afterEach, expect, test } from "bun:test";
import { copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { ErrorCode, type KafkaError } from "../errors.ts";
import { PartitionLog } from "../log.ts";
import { createLogger } from "../logger.ts";
import { Disk } from "../storage/disk.ts";
import { type BatchSpec, batchesIn, batchOf, type RecordSpec, textsIn } from "../testing/batches.ts";
import { cleanAll, cleanUp, temporaryDirectory } from "../testing/temporary.ts";
import { parseTopicConfig } from "../topics/config.ts";
import type { RecordBatch } from "./batch.ts";
import { Codec } from "./codecs.ts";
import { compact } from "./compaction.ts";
import type { Outcome } from "./markers.ts";
import { applyRetention } from "./retention.ts";

afterEach(cleanAll);

const ALL = 2 ** 30;
const NOW = 1_000_000_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Each segment has one batch. */
const TINY = { "segment.bytes": "14" };
const COMPACT = { "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0" };

async function openLog(
  configs: Record<string, string>,
  directory?: string,
  disk = new Disk(),
): Promise<PartitionLog> {
  const log = await PartitionLog.open({
    directory: directory ?? (await temporaryDirectory()),
    disk,
    config: parseTopicConfig(configs),
    logger: createLogger("silent"),
  });
  cleanUp(() => (log.isClosed ? undefined : log.close()));
  return log;
}

async function append(log: PartitionLog, records: (string | RecordSpec)[], spec?: BatchSpec): Promise<void> {
  await log.append(batchOf(records, spec)).durable;
}

/** Each `key=value` is a record; without a value it is a tombstone. */
async function put(log: PartitionLog, pairs: string, spec?: BatchSpec): Promise<void> {
  const records = pairs.split(" ").map((pair) => {
    const [key = "", value] = pair.split("=");
    return { key, value: value ?? null, timestamp: NOW };
  });
  await append(log, records, spec);
}

async function contents(log: PartitionLog): Promise<string> {
  const found: string[] = [];
  for (let offset = log.startOffset; offset < log.highWatermark; ) {
    const read = await log.read(offset, ALL, true);
    const last = batchesIn(read).at(-1);
    if (!last) break;
    found.push(...textsIn(read));
    offset = last.lastOffset + 1;
  }
  return found.join(" ");
}

test("retention deletes segments in which all records are too old", async () => {
  const log = await openLog({ ...TINY, "retention.ms": "1000" });
  for (const age of [5000, 3000, 500]) await append(log, [{ value: `${age}`, timestamp: NOW - age }]);
  await applyRetention(log, NOW);
  expect(await contents(log)).toBe("2:=500");
  await expect(log.read(1, ALL, true)).rejects.toMatchObject({ code: ErrorCode.OFFSET_OUT_OF_RANGE });
});

test("retention deletes an expired active segment, and offsets continue", async () => {
  const log = await openLog({ "retention.ms": "1000" });
  await append(log, [{ value: "old", timestamp: NOW - 5000 }]);
  await applyRetention(log, NOW);
  expect([log.startOffset, log.highWatermark]).toEqual([1, 1]);
  await log.close();
  const again = await openLog({}, log.options.directory);
  await append(again, ["new"]);
  expect(await contents(again)).toBe("1:=new");
});

test("retention deletes the oldest segments of a log that is too large", async () => {
  const size = batchOf(["a"]).bytes.length;
  const log = await openLog({ ...TINY, "retention.bytes": String(size * 2), "retention.ms": "-1" });
  for (const text of ["a", "b", "c", "d"]) await append(log, [text]);
  await applyRetention(log, NOW);
  expect(await contents(log)).toBe("2:=c 3:=d");
  expect(await readdir(log.options.directory)).toHaveLength(2);
});

test("deleted records are unreadable, and retention deletes their segments", async () => {
  const log = await openLog({ ...TINY, "retention.ms": "-1" });
  for (const text of ["a", "b", "c"]) await append(log, [text]);
  log.raiseStartOffset(2);
  await expect(log.read(1, ALL, true)).rejects.toMatchObject({ code: ErrorCode.OFFSET_OUT_OF_RANGE });
  await applyRetention(log, NOW);
  expect(await readdir(log.options.directory)).toEqual(["00000000000000000002.log"]);
  expect(await contents(log)).toBe("2:=c");
});

test("retention keeps the offsets of a segment that compaction emptied", async () => {
  const log = await openLog({ ...TINY, ...COMPACT, "delete.retention.ms": "0" });
  for (const pairs of ["a", "b", "c=1", "d=1"]) await put(log, pairs);
  await compact(log, NOW + 1);
  await applyRetention(log, NOW + 1);
  expect(log.startOffset).toBe(0);
  expect(textsIn(await log.read(0, ALL, true))).toEqual(["2:c=1"]);
});

test("a read continues to the end of a segment that is deleted meanwhile", async () => {
  const log = await openLog({ ...TINY, "retention.ms": "1000" });
  for (let i = 0; i < 3; i++) await append(log, [{ value: `${i}`, timestamp: NOW - 5000 }]);
  const batches = log.segments.first.batches();
  const reading = batches.next();
  await applyRetention(log, NOW);
  const { value } = await reading;
  expect(value).toHaveLength(1);
  await batches.return(undefined);
});

test("compaction keeps the last value of each key, at its offset", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  for (const pairs of ["a=1 b=1", "a=2", "c=1 b=2 a=3", "d=1", "a=4"]) await put(log, pairs);
  await compact(log, NOW);
  expect(await contents(log)).toBe("3:c=1 4:b=2 5:a=3 6:d=1 7:a=4");
  expect(log.startOffset).toBe(0);
  expect(textsIn(await log.read(0, ALL, true))).toContain("3:c=1");
});

test("compaction merges small segments, and a restart reads the same records", async () => {
  const log = await openLog({ ...COMPACT, "segment.bytes": "200" });
  for (let i = 0; i < 50; i++) await put(log, `key${i % 5}=${i}`);
  const before = log.segments.all.length;
  await compact(log, NOW);
  expect(log.segments.all.length).toBeLessThan(before / 3);
  const expected = await contents(log);
  expect(expected.split(" ").length).toBeLessThan(10);
  await log.close();
  const again = await openLog(COMPACT, log.options.directory);
  expect(await contents(again)).toBe(expected);
  expect(again.highWatermark).toBe(50);
});

test("a crash between the merge and the removal of the merged segments restores no record", async () => {
  const log = await openLog({ ...TINY, ...COMPACT, "segment.bytes": "250" });
  for (let i = 0; i < 12; i++) await put(log, `key${i % 4}=${i}`);
  const leftover = log.segments.closed[1];
  const path = leftover?.path ?? "";
  await copyFile(path, `${path}.kept`);
  await compact(log, NOW);
  const expected = await contents(log);
  await log.close();
  await copyFile(`${path}.kept`, path);
  const again = await openLog(COMPACT, log.options.directory);
  expect(await contents(again)).toBe(expected);
  expect(again.segments.all.map(({ baseOffset }) => baseOffset)).not.toContain(leftover?.baseOffset);
});

test("a tombstone removes its key, and is removed after delete.retention.ms", async () => {
  const log = await openLog({ ...TINY, ...COMPACT, "delete.retention.ms": String(DAY_MS) });
  for (const pairs of ["a=1 b=1", "a", "c=1", "d=1"]) await put(log, pairs);
  await compact(log, NOW);
  expect(await contents(log)).toBe("1:b=1 2:a= 3:c=1 4:d=1");
  await put(log, "e=1");
  await compact(log, NOW + DAY_MS + 1);
  expect(await contents(log)).toBe("1:b=1 3:c=1 4:d=1 5:e=1");
});

test("records younger than min.compaction.lag.ms are not compacted", async () => {
  const log = await openLog({ ...TINY, ...COMPACT, "min.compaction.lag.ms": "1000" });
  for (const pairs of ["a=1", "a=2", "a=3"]) await put(log, pairs);
  await compact(log, NOW + 999);
  expect(await contents(log)).toBe("0:a=1 1:a=2 2:a=3");
  await compact(log, NOW + 1000);
  expect(await contents(log)).toBe("1:a=2 2:a=3");
});

test("a log below min.cleanable.dirty.ratio is not rewritten", async () => {
  const log = await openLog({ ...TINY, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.5" });
  for (const pairs of ["a=1", "b=1", "c=1", "d=1", "e=1"]) await put(log, pairs);
  await compact(log, NOW);
  const [first] = log.segments.all;
  await put(log, "a=2");
  await compact(log, NOW);
  expect(log.segments.first === first).toBe(true);
});

test.each(Object.entries(Codec))("batches with codec %s are compacted", async (_name, codec) => {
  const log = await openLog({ ...TINY, ...COMPACT });
  await put(log, "a=1 b=1", { codec });
  await put(log, "b=2", { codec });
  await put(log, "c=1 d=1", { codec });
  for (const pairs of ["d=2", "z=1"]) await put(log, pairs);
  await compact(log, NOW);
  expect(await contents(log)).toBe("0:a=1 2:b=2 3:c=1 5:d=2 6:z=1");
  const rewritten = batchesIn(await log.read(3, ALL, true))[0]?.codec;
  // The broker does not compress with snappy and lz4.
  expect(rewritten).toBe(codec === Codec.snappy || codec === Codec.lz4 ? Codec.gzip : codec);
});

test("gzip batches are compacted; unreadable batches are kept whole", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  await put(log, "a=1 b=1", { codec: Codec.gzip });
  const unreadable = batchOf([{ key: "a", value: "1" }]);
  await log.append(unreadable.withRecords(unreadable.payload, 1, Codec.lz4)).durable;
  await log.roll();
  for (const pairs of ["a=2", "z=1"]) await put(log, pairs);
  await compact(log, NOW);
  expect(await contents(log)).toBe("1:b=1 3:a=2 4:z=1");
  for (const [offset, codec] of [
    [1, Codec.gzip],
    [2, Codec.lz4],
  ] as const) {
    expect(batchesIn(await log.read(offset, ALL, true))[0]?.codec).toBe(codec);
  }
});

test("the sequence of an idempotent producer survives the compaction of its records", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  const spec = { producerId: 9, epoch: 0 };
  await put(log, "a=1", { ...spec, sequence: 0 });
  await put(log, "a=2", { ...spec, sequence: 1 });
  for (const pairs of ["a=3", "b=1"]) await put(log, pairs);
  await compact(log, NOW);
  await log.close();
  const again = await openLog(COMPACT, log.options.directory);
  expect(await contents(again)).toBe("2:a=3 3:b=1");
  expect(again.append(batchOf(["x"], { ...spec, sequence: 1 })).baseOffset).toBe(1);
});

test("appends and reads continue during compaction", async () => {
  const log = await openLog({ ...COMPACT, "segment.bytes": "2000" });
  for (let i = 0; i < 200; i++) await put(log, `key${i % 10}=${i}`);
  const compaction = compact(log, NOW);
  for (let i = 200; i < 300; i++) {
    await put(log, `key${i % 10}=${i}`);
    expect(await log.read(i, ALL, true)).not.toBeEmpty();
  }
  await compaction;
  const last = (await contents(log)).split(" ").slice(-10);
  expect(last).toEqual(Array.from({ length: 10 }, (_, index) => `${290 + index}:key${index}=${290 + index}`));
});

test("a failed compaction leaves the remaining segments unchanged", async () => {
  const disk = new Disk();
  const log = await openLog({ ...TINY, ...COMPACT }, undefined, disk);
  for (const pairs of ["a=1", "a=2", "a=3"]) await put(log, pairs);
  disk.fault = (operation, path) => {
    if (operation === "write" && path.endsWith(".compacted")) throw new Error("no space left on device");
  };
  await expect(compact(log, NOW)).rejects.toThrow("no space");
  disk.fault = undefined;
  await put(log, "a=4");
  expect(await contents(log)).toBe("1:a=2 2:a=3 3:a=4");
  expect((await readdir(log.options.directory)).filter((name) => name.endsWith(".compacted"))).toEqual([]);
});

test("a log with damaged records is not compacted, and the damaged records stay on disk", async () => {
  const log = await openLog({ ...COMPACT, ...TINY });
  for (const pair of ["a=1", "b=1", "a=2", "b=2"]) await put(log, pair);
  await log.close();
  const [, second] = log.segments.all;
  const path = second?.path ?? "";
  const damaged = await readFile(path);
  damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
  await writeFile(path, damaged);
  const again = await openLog({ ...COMPACT, ...TINY }, log.options.directory);
  await compact(again, NOW);
  expect(again.compactedTo).toBe(0);
  expect(textsIn(await again.read(0, ALL, true))).toEqual(["0:a=1"]);
  await expect(again.read(1, ALL, true)).rejects.toMatchObject({ code: ErrorCode.CORRUPT_MESSAGE });
  expect((await readFile(path)).equals(damaged)).toBe(true);
});

test("two batches of a compacted segment in the wrong order are damaged, the others are read", async () => {
  const log = await openLog({ ...COMPACT, "segment.bytes": "2000" });
  for (const key of ["a", "b", "c", "d", "e", "f"]) await put(log, `${key}=1`);
  await log.roll();
  await put(log, "g=1");
  await log.close();
  const path = log.segments.first.path;
  const bytes = await readFile(path);
  const size = bytes.length / 6;
  // Offset 1 becomes 4: its order with offset 2 is wrong.
  await writeFile(path, bytes.fill(4, size + 7, size + 8));
  const again = await openLog({ ...COMPACT, "segment.bytes": "2000" }, log.options.directory);
  const found: string[] = [];
  for (let offset = 0; offset < 7; offset++) {
    const read = await again.read(offset, size, true).catch((error: KafkaError) => error.code);
    found.push(typeof read === "number" ? `error ${read}` : textsIn(read).join());
  }
  expect(found).toEqual(["0:a=1", "error 2", "error 2", "3:d=1", "4:e=1", "5:f=1", "6:g=1"]);
});

/** Each producer writes its pairs in a transaction of its own, and ends it. */
async function transact(
  log: PartitionLog,
  producerId: number,
  pairs: string,
  outcome: Outcome,
): Promise<void> {
  const sequence = (sequences.get(log) ?? 0) + 1;
  sequences.set(log, sequence);
  // A new epoch for each transaction begins at sequence 0.
  await put(log, pairs, { producerId, epoch: sequence, sequence: 0, transactional: true });
  await log.endTransaction({ producerId, epoch: sequence, outcome });
}

const sequences = new WeakMap<PartitionLog, number>();

function markersIn(log: PartitionLog): Promise<number[]> {
  return collect(log, (batch) => batch.isControl);
}

async function collect(log: PartitionLog, holds: (batch: RecordBatch) => boolean): Promise<number[]> {
  const offsets: number[] = [];
  for (const segment of log.segments.all) {
    for await (const batches of segment.batches()) {
      for (const batch of batches) if (holds(batch)) offsets.push(batch.baseOffset);
    }
  }
  return offsets;
}

test("compaction removes the records of aborted transactions, which supersede nothing", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  await put(log, "a=1 b=1");
  await transact(log, 1, "a=2 c=2", "abort");
  await transact(log, 2, "b=3", "commit");
  await put(log, "d=4");
  await compact(log, Date.now());
  expect(await keysAndValues(log)).toBe("0:a=1 5:b=3 7:d=4");
  expect(await markersIn(log)).toEqual([4, 6]);
});

test("compaction keeps what is above the last stable offset", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  await put(log, "a=1");
  await put(log, "a=2", { producerId: 1, epoch: 0, sequence: 0, transactional: true });
  await put(log, "a=3");
  await put(log, "a=4");
  await compact(log, Date.now());
  expect(await contents(log)).toBe("0:a=1 1:a=2 2:a=3 3:a=4");
});

test("a marker is kept while it has records, and for delete.retention.ms; its transaction is forgotten with it", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  await transact(log, 1, "a=1", "abort");
  await transact(log, 1, "b=2", "commit");
  await put(log, "c=3");
  await put(log, "c=4");
  const later = Date.now() + DAY_MS + 1_000;
  await compact(log, later);
  // The records of the aborted transaction were there; those of the committed one still are.
  expect(await markersIn(log)).toEqual([1, 3]);
  log.compactedTo = 0;
  await compact(log, later - DAY_MS);
  expect(await markersIn(log)).toEqual([1, 3]);
  expect(log.producers.transactions.aborted(0, 100)).toHaveLength(1);
  log.compactedTo = 0;
  await compact(log, later);
  expect(await markersIn(log)).toEqual([3]);
  expect(log.producers.transactions.aborted(0, 100)).toEqual([]);
  expect(await keysAndValues(log)).toBe("2:b=2 4:c=3 5:c=4");
});

test("nothing is readable behind the last record that compaction kept, so that a fetch waits there", async () => {
  const log = await openLog(COMPACT);
  await put(log, "a=1");
  await transact(log, 1, "b=2", "abort");
  await log.roll();
  for (const days of [0, 2]) {
    log.compactedTo = 0;
    await compact(log, Date.now() + days * DAY_MS);
  }
  expect(log.highWatermark).toBe(3);
  expect(await log.read(2, 1_000, true)).toEqual(Buffer.alloc(0));
  expect([log.bytesFrom(2), log.bytesFrom(3)]).toEqual([0, 0]);
  expect(log.bytesFrom(0)).toBeGreaterThan(0);
  await put(log, "c=3");
  expect(log.bytesFrom(2)).toBe(log.segments.active.size);
});

test("a restart after compaction finds no open transaction", async () => {
  const log = await openLog({ ...TINY, ...COMPACT });
  for (let round = 0; round < 6; round++) await transact(log, round % 2, "a=1 b=2", "commit");
  await transact(log, 5, "a=9", "abort");
  await put(log, "z=1");
  await put(log, "z=2");
  for (let pass = 0; pass < 3; pass++) {
    log.compactedTo = 0;
    await compact(log, Date.now() + 2 * DAY_MS);
  }
  const expected = await keysAndValues(log);
  await log.close();
  const again = await openLog(COMPACT, log.options.directory);
  expect(again.lastStableOffset).toBe(again.highWatermark);
  expect(await keysAndValues(again)).toBe(expected);
  expect(expected).toBe("15:a=1 16:b=2 20:z=1 21:z=2");
});

/** Without markers. */
async function keysAndValues(log: PartitionLog): Promise<string> {
  const all = await contents(log);
  return all
    .split(" ")
    .filter((text) => !text.includes("\0"))
    .join(" ");
}
