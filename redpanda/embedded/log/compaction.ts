/**
 * Compaction: keeps the last record of each key in the closed segments of a topic with cleanup.policy=compact.
 * Source: https://kafka.apache.org/documentation/#compaction; Apache Kafka's LogCleaner.
 *
 * The first step maps each key in the segments since the last run to its last offset. The second step rewrites all
 * closed segments without the superseded records and merges small segments. Memory: MAX_KEYS keys with their offsets,
 * and WRITE_BYTES; a log with more keys needs several runs.
 *
 * Only segments below the last stable offset are compacted. The records of aborted transactions are removed. A marker is
 * removed when the records of its transaction are gone since an earlier run and it is older than delete.retention.ms: without
 * its marker a transaction would be open again after a restart.
 *
 * Unlike Kafka (KIP-534), the age of a tombstone or a marker counts from its own timestamp. A batch that cannot be read is
 * kept whole and supersedes nothing.
 */
import type { PartitionLog } from "../log.ts";
import { BaseOffsets, baseOffsetsPath, writeBaseOffsets } from "./base-offsets.ts";
import type { RecordBatch } from "./batch.ts";
import { Codec } from "./codecs.ts";
import { type LogRecord, readRecords, withRecords } from "./records.ts";
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
  const { lastStableOffset } = log;
  const tooYoung = closed.findIndex(
    ({ maxTimestamp, lastOffset }) =>
      now - maxTimestamp < minCompactionLagMs || lastOffset >= lastStableOffset,
  );
  const cleanable = tooYoung < 0 ? closed : closed.slice(0, tooYoung);
  const dirty = cleanable.filter((segment) => segment.lastOffset >= log.compactedTo);
  const dirtyBytes = bytesOf(dirty);
  if (dirtyBytes === 0 || dirtyBytes < bytesOf(cleanable) * minCleanableDirtyRatio) return;
  const aborted = new AbortedBatches(log);
  const keys = await mapKeys(dirty, aborted, log);
  await rewrite(cleanable, new Filter(keys, aborted, log, now), log);
  log.compactedTo = keys.end;
}

/** Which batches belong to aborted transactions. */
class AbortedBatches {
  readonly #byProducer;

  constructor(log: PartitionLog) {
    const all = log.producers.transactions.aborted(0, log.lastStableOffset);
    this.#byProducer = Map.groupBy(all, ({ producerId }) => producerId);
  }

  has({ isTransactional, producerId, baseOffset }: RecordBatch): boolean {
    if (!isTransactional) return false;
    const transactions = this.#byProducer.get(producerId) ?? [];
    return transactions.some(
      ({ firstOffset, lastOffset }) => firstOffset <= baseOffset && baseOffset < lastOffset,
    );
  }
}

async function mapKeys(
  dirty: readonly Segment[],
  aborted: AbortedBatches,
  log: PartitionLog,
): Promise<KeyMap> {
  const lastOffsets = new Map<string, number>();
  let end = log.compactedTo;
  for (const segment of dirty) {
    for await (const batches of segment.batches()) {
      for (const batch of batches) {
        if (lastOffsets.size >= MAX_KEYS) return { lastOffsets, end };
        end = batch.lastOffset + 1;
        if (batch.isControl || aborted.has(batch)) continue;
        for (const { key, offset } of (await readRecords(batch)) ?? [])
          if (key) lastOffsets.set(nameOf(key), offset);
      }
    }
  }
  return { lastOffsets, end };
}

/** Rewrites the segments, merging neighbours up to `segmentBytes`. */
async function rewrite(segments: readonly Segment[], filter: Filter, log: PartitionLog): Promise<void> {
  let sources: Segment[] = [];
  let output: Segment | undefined;
  let bases = new BaseOffsets();
  for (const segment of segments) {
    if (output && output.size + segment.size > log.options.config.segmentBytes) {
      await discardOnError(output, replace(sources, output, bases, filter, log), log);
      sources = [];
      output = undefined;
      bases = new BaseOffsets();
    }
    output ??= await createOutput(segment.baseOffset, log);
    sources.push(segment);
    const copied = copyKept(segment, output, bases, filter, log);
    await discardOnError(output, copied, log);
  }
  if (output) await discardOnError(output, replace(sources, output, bases, filter, log), log);
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

/** @param bases gets those of the batches that are kept */
async function copyKept(
  from: Segment,
  to: Segment,
  bases: BaseOffsets,
  filter: Filter,
  log: PartitionLog,
): Promise<void> {
  let kept: RecordBatch[] = [];
  let bytes = 0;
  for await (const batches of from.batches()) {
    log.checkOpen();
    for (const batch of batches) {
      const remaining = await filter.apply(batch);
      if (!remaining) continue;
      bases.add(to.size + bytes, remaining);
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

/** Decides what is kept, for the batches of the log in order. */
class Filter {
  /** The producers with records since their last marker. */
  readonly #producersWithRecords = new Set<number>();
  /** The offsets of removed markers, which are still in the log. */
  #removedMarkers = new Set<number>();

  constructor(
    private readonly keys: KeyMap,
    private readonly aborted: AbortedBatches,
    private readonly log: PartitionLog,
    private readonly now: number,
  ) {}

  /** The batch, the batch with fewer records, or undefined when none is kept. */
  async apply(batch: RecordBatch): Promise<RecordBatch | undefined> {
    if (batch.isControl) return this.#keepsMarker(batch) ? batch : undefined;
    if (batch.isTransactional && batch.count > 0) this.#producersWithRecords.add(batch.producerId);
    const records = await readRecords(batch);
    if (!records) return batch;
    const kept = this.aborted.has(batch) ? [] : records.filter((record) => this.#keeps(record));
    if (kept.length === records.length && kept.length > 0) return batch;
    if (kept.length > 0) return withRecords(batch, kept);
    // The empty header is kept for the producer's sequence, which identifies a resent batch.
    return this.log.producers.isNewest(batch) ? batch.withRecords(Buffer.alloc(0), 0, Codec.none) : undefined;
  }

  /** Call when the log no longer has what was removed so far. */
  onReplaced(): void {
    this.log.producers.transactions.forget(this.#removedMarkers);
    this.#removedMarkers = new Set();
  }

  #keepsMarker(marker: RecordBatch): boolean {
    const isNeeded = this.#producersWithRecords.delete(marker.producerId);
    if (isNeeded || this.now - marker.maxTimestamp <= this.log.options.config.deleteRetentionMs) return true;
    this.#removedMarkers.add(marker.lastOffset);
    return false;
  }

  #keeps(record: LogRecord): boolean {
    const isExpired =
      record.value === null && this.now - record.timestamp > this.log.options.config.deleteRetentionMs;
    return !isSuperseded(record, this.keys) && !(isExpired && record.offset < this.keys.end);
  }
}

function isSuperseded({ key, offset }: LogRecord, { lastOffsets }: KeyMap): boolean {
  return key !== null && (lastOffsets.get(nameOf(key)) ?? offset) > offset;
}

/** The rename over the first source's file is atomic and makes the change effective; see `recover`. */
async function replace(
  sources: Segment[],
  output: Segment,
  bases: BaseOffsets,
  filter: Filter,
  log: PartitionLog,
): Promise<void> {
  const { disk, directory, logger } = log.options;
  const path = segmentPath(directory, output.baseOffset);
  try {
    await log.exclusive(async () => {
      // Those of the replaced segment. They must be gone before, durably: they would refute the batches of the new one.
      await disk.remove(baseOffsetsPath(path));
      await disk.syncDirectory(directory);
      await disk.rename(output.path, path);
      output.path = path;
      log.segments.replace(sources, [output]);
      filter.onReplaced();
      await disk.syncDirectory(directory);
    });
    // Oldest first, so that after a crash no value outlives its tombstone.
    for (const { baseOffset, path: merged } of sources) {
      if (baseOffset === output.baseOffset) continue;
      await disk.remove(merged);
      await disk.remove(baseOffsetsPath(merged));
    }
    await writeBaseOffsets(disk, path, bases.encode(output.size), logger);
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
