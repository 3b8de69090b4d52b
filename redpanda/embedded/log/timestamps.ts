/** Lookup of offsets by record timestamp, for ListOffsets. */
import type { PartitionLog } from "../log.ts";
import type { RecordBatch } from "./batch.ts";
import { readRecords } from "./records.ts";
import type { Segment } from "./segment.ts";

export interface TimestampedOffset {
  readonly timestamp: number;
  readonly offset: number;
}

const NOTHING: TimestampedOffset = { timestamp: -1, offset: -1 };

/**
 * The first record with this timestamp or a later one; timestamp and offset -1 when there is none.
 * @throws KafkaError CORRUPT_MESSAGE when damaged records may be the ones searched for
 */
export async function findByTimestamp(log: PartitionLog, timestamp: number): Promise<TimestampedOffset> {
  for (
    let segment: Segment | undefined = log.segments.first;
    segment;
    segment = log.segments.after(segment)
  ) {
    for await (const batches of segment.batches(timestamp)) {
      for (const batch of batches) {
        if (batch.maxTimestamp < timestamp || batch.lastOffset < log.startOffset) continue;
        const record = await firstIn(
          batch,
          (candidate) => candidate.timestamp >= timestamp && candidate.offset >= log.startOffset,
        );
        if (record) return record;
      }
    }
  }
  return NOTHING;
}

/** The first record with the largest timestamp in the log (KIP-734). */
export async function findMaxTimestamp(log: PartitionLog): Promise<TimestampedOffset> {
  const largest = Math.max(...log.segments.all.map((segment) => segment.maxTimestamp));
  return largest < 0 ? NOTHING : findByTimestamp(log, largest);
}

/** For a batch that cannot be read: its first offset, with its largest timestamp. */
async function firstIn(
  batch: RecordBatch,
  fits: (record: TimestampedOffset) => boolean,
): Promise<TimestampedOffset | undefined> {
  const records = await readRecords(batch);
  if (!records) return { timestamp: batch.maxTimestamp, offset: batch.baseOffset };
  for (const { offset, timestamp } of records) if (fits({ offset, timestamp })) return { offset, timestamp };
  return undefined;
}
