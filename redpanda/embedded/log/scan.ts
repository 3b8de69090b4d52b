/** Iterates over the batches of a segment file in bounded memory: one chunk, or one batch if that is larger. */
import type { DiskFile } from "../storage/disk.ts";
import type { BaseOffsets } from "./base-offsets.ts";
import { batchSizeAt, HEADER_SIZE, LEADER_EPOCH, RecordBatch } from "./batch.ts";

const CHUNK = 256 * 1024;

/** Batches are smaller. A larger length is damage, and no memory is allocated for it. */
const LARGEST_BATCH = 128 * 1024 * 1024;

/** What the next batch of a segment must be. The checksum of a batch does not cover its base offset. */
export interface Expected {
  /** The lowest base offset. */
  from: number;
  /** Whether the base offset is exactly `from`, as in a log without compaction. */
  exact: boolean;
  /** All offsets are lower. */
  readonly below: number;
  /** Those of the segment, where they are known. */
  readonly baseOffsets?: BaseOffsets | undefined;
}

/**
 * Yields the batches between two positions, one group per read, so that a long file needs few awaits. Ends at `to`, or
 * at the first batch that is not valid, see `isValid`. Moves `expected` behind each batch.
 */
export async function* scanBatches(
  file: DiskFile,
  from: number,
  to: number,
  expected: Expected,
): AsyncGenerator<RecordBatch[]> {
  let position = from;
  let wanted = CHUNK;
  while (position < to) {
    const buffer = await file.read(position, Math.min(wanted, to - position));
    const batches: RecordBatch[] = [];
    let at = 0;
    let size = batchSizeAt(buffer, at);
    for (; size !== undefined && at + size <= buffer.length; size = batchSizeAt(buffer, at)) {
      const batch = new RecordBatch(buffer.subarray(at, at + size));
      if (!isValid(batch, position + at, expected)) {
        if (batches.length > 0) yield batches;
        return;
      }
      expected.from = batch.lastOffset + 1;
      batches.push(batch);
      at += size;
    }
    if (batches.length > 0) {
      yield batches;
      position += at;
      wanted = CHUNK;
    } else if (size !== undefined && size > wanted && size <= LARGEST_BATCH && position + size <= to) {
      wanted = size;
    } else {
      return;
    }
  }
}

/**
 * The position of the first valid batch after the invalid one at `from`; `to` when there is none. The length of the
 * invalid batch is tried first, because a record may contain bytes that are a valid batch.
 */
export async function findBatch(
  file: DiskFile,
  from: number,
  to: number,
  expected: Expected,
): Promise<number> {
  const anyLater = { ...expected, exact: false };
  const isBatchAt = async (position: number, size: number | undefined) => {
    if (size === undefined || size > LARGEST_BATCH || position + size > to) return false;
    const bytes = await file.read(position, size);
    return bytes.length === size && isValid(new RecordBatch(bytes), position, anyLater);
  };
  const next = from + (batchSizeAt(await file.read(from, HEADER_SIZE), 0) ?? 0);
  if (next > from && next < to) {
    if (await isBatchAt(next, batchSizeAt(await file.read(next, HEADER_SIZE), 0))) return next;
  }
  for (let start = from + 1; start < to; start += CHUNK) {
    const buffer = await file.read(start, Math.min(CHUNK + HEADER_SIZE, to - start));
    for (let at = 0; at < CHUNK && at + HEADER_SIZE <= buffer.length; at++) {
      // Most bytes are excluded here, without their checksum.
      const header = new RecordBatch(buffer.subarray(at, at + HEADER_SIZE));
      if (!hasValidHeader(header, start + at, anyLater)) continue;
      if (await isBatchAt(start + at, batchSizeAt(buffer, at))) return start + at;
    }
  }
  return to;
}

function isValid(batch: RecordBatch, position: number, expected: Expected): boolean {
  return hasValidHeader(batch, position, expected) && batch.hasValidChecksum;
}

function hasValidHeader(batch: RecordBatch, position: number, expected: Expected): boolean {
  const { from, exact, below, baseOffsets } = expected;
  if (batch.magic !== 2 || batch.leaderEpoch !== LEADER_EPOCH || batch.lastOffsetDelta < 0) return false;
  const { baseOffset } = batch;
  if (baseOffsets?.refutes(position, batch)) return false;
  return (exact ? baseOffset === from : baseOffset >= from) && batch.lastOffset < below;
}
