/**
 * Compaction: keeps the last record of each key in the closed segments of a topic with cleanup.policy=compact.
 * Source: https://kafka.apache.org/documentation/#compaction; Apache Kafka's LogCleaner.
 *
 * The first step maps each key in the segments since the last run to its last offset. The second step rewrites all
 * closed segments without the superseded records and merges small segments. Memory: MAX_KEYS keys with their offsets,
 * and WRITE_BYTES; a log with more keys needs several runs.
 *
 * Unlike Kafka (KIP-534), a tombstone's age counts from its own timestamp. A batch that cannot be read is kept
 * whole and supersedes nothing.
 */
import type { PartitionLog } from "../log.ts";
import type { RecordBatch } from "./batch.ts";
import { Codec } from "./codecs.ts";
import { type LogRecord, recordsOf, withRecords } from "./records.ts";
import { Segment, segmentPath } from "./segment.ts";

const MAX_KEYS = 500_000;
const WRITE_BYTES = 1024 * 1024;

/** The last offset of each key, for the offsets below `end`. */
interface KeyMap {
  readonly lastOffsets: ReadonlyMap<string, number>;
  readonly end: number;
}

/**
 * Resolves when the log is compacted, or at once when the share of new data is below min.cleanable.dirty.ratio, or when a
 * segment is damaged: compaction would remove what is damaged.
 */
export async function compact(log: PartitionLog, now = Date.now()): Promise<void> {
  const { minCompactionLagMs, minCleanableDirtyRatio } = log.options.config;
  const { closed } = log.segments;
  for (const segment of closed) await segment.verified();
  if (closed.some(({ damages }) => damages.length > 0)) return;
  const tooYoung = closed.findIndex((segment) => now - segment.maxTimestamp < minCompactionLagMs);
  const cleanable = tooYoung < 0 ? closed : closed.slice(0, tooYoung);
  const dirty = cleanable.filter((segment) => segment.lastOffset >= log.compactedTo);
  const dirtyBytes = bytesOf(dirty);
  if (dirtyBytes === 0 || dirtyBytes < bytesOf(cleanable) * minCleanableDirtyRatio) return;
  const keys = await mapKeys(dirty, log);
  await rewrite(cleanable, keys, log, now);
  log.compactedTo = keys.end;
}

async function mapKeys(dirty: readonly Segment[], log: PartitionLog): Promise<KeyMap> {
  const lastOffsets = new Map<string, number>();
  let end = log.compactedTo;
  for (const segment of dirty) {
    for await (const batches of segment.batches()) {
      for (const batch of batches) {
        if (lastOffsets.size >= MAX_KEYS) return { lastOffsets, end };
        for (const { key, offset } of recordsOf(batch) ?? []) if (key) lastOffsets.set(nameOf(key), offset);
        end = batch.lastOffset + 1;
      }
    }
  }
  return { lastOffsets, end };
}

/** Rewrites the segments, merging neighbours up to `segmentBytes`. */
async function rewrite(
  segments: readonly Segment[],
  keys: KeyMap,
  log: PartitionLog,
  now: number,
): Promise<void> {
  let sources: Segment[] = [];
  let output: Segment | undefined;
  for (const segment of segments) {
    if (output && output.size + segment.size > log.options.config.segmentBytes) {
      await discardOnError(output, replace(sources, output, log), log);
      sources = [];
      output = undefined;
    }
    output ??= await createOutput(segment.baseOffset, log);
    sources.push(segment);
    const copied = copyKept(segment, output, (batch) => filter(batch, keys, log, now), log);
    await discardOnError(output, copied, log);
  }
  if (output) await discardOnError(output, replace(sources, output, log), log);
}

/** An output that did not become part of the log is closed and removed. */
async function discardOnError(output: Segment, work: Promise<void>, log: PartitionLog): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!log.segments.all.includes(output)) {
      await output.retire();
      await log.options.disk.remove(output.path);
    }
    throw error;
  }
}

/** Recovery discards files with this suffix, so a crash before the rename has no effect. */
function createOutput(baseOffset: number, log: PartitionLog): Promise<Segment> {
  const { disk, directory } = log.options;
  return Segment.create(disk, `${segmentPath(directory, baseOffset)}.compacted`, baseOffset);
}

async function copyKept(
  from: Segment,
  to: Segment,
  keep: (batch: RecordBatch) => RecordBatch | undefined,
  log: PartitionLog,
): Promise<void> {
  let kept: RecordBatch[] = [];
  let bytes = 0;
  for await (const batches of from.batches()) {
    log.checkOpen();
    for (const batch of batches) {
      const remaining = keep(batch);
      if (!remaining) continue;
      kept.push(remaining);
      bytes += remaining.bytes.length;
    }
    if (bytes < WRITE_BYTES) continue;
    await to.append(kept);
    kept = [];
    bytes = 0;
  }
  await to.append(kept);
}

/** The batch, the batch with fewer records, or undefined when none is kept. */
function filter(batch: RecordBatch, keys: KeyMap, log: PartitionLog, now: number): RecordBatch | undefined {
  const records = recordsOf(batch);
  if (!records) return batch;
  const { deleteRetentionMs } = log.options.config;
  const kept = records.filter((record) => {
    const isExpired = record.value === null && now - record.timestamp > deleteRetentionMs;
    return !isSuperseded(record, keys) && !(isExpired && record.offset < keys.end);
  });
  if (kept.length === records.length && kept.length > 0) return batch;
  if (kept.length > 0) return withRecords(batch, kept);
  // The empty header is kept for the producer's sequence, which identifies a resent batch.
  return log.producers.isNewest(batch) ? batch.withRecords(Buffer.alloc(0), 0, Codec.none) : undefined;
}

function isSuperseded({ key, offset }: LogRecord, { lastOffsets }: KeyMap): boolean {
  return key !== null && (lastOffsets.get(nameOf(key)) ?? offset) > offset;
}

/** The rename over the first source's file is atomic and makes the change effective; see `recover`. */
async function replace(sources: Segment[], output: Segment, log: PartitionLog): Promise<void> {
  const { disk, directory } = log.options;
  try {
    await log.exclusive(async () => {
      await disk.rename(output.path, segmentPath(directory, output.baseOffset));
      output.path = segmentPath(directory, output.baseOffset);
      log.segments.replace(sources, [output]);
      await disk.syncDirectory(directory);
    });
    // Oldest first, so that after a crash no value outlives its tombstone.
    for (const { baseOffset, path } of sources) if (baseOffset !== output.baseOffset) await disk.remove(path);
  } catch (error) {
    log.mergedFilesRemain = true;
    throw error;
  } finally {
    if (log.segments.all.includes(output)) for (const source of sources) await source.retire();
  }
}

/** Encodes a key as a string, because a Map compares buffers by identity. */
function nameOf(key: Buffer): string {
  return key.toString("latin1");
}

function bytesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { size }) => sum + size, 0);
}
