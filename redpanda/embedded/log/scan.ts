/** Iterates over the batches of a segment file in bounded memory: one chunk, or one batch if that is larger. */
import type { DiskFile } from "../storage/disk.ts";
import { batchSizeAt, RecordBatch } from "./batch.ts";

const CHUNK = 256 * 1024;

/** Batches are smaller. A larger length is damage, and no memory is allocated for it. */
const LARGEST_BATCH = 128 * 1024 * 1024;

/**
 * Yields the batches between two positions, one group per read, so that a long file needs few awaits. Ends at `to`, or
 * at the first invalid batch: truncated, with an impossible length, with decreasing offsets or, with `checksums`, with
 * damaged content.
 */
export async function* scanBatches(
  file: DiskFile,
  from: number,
  to: number,
  options: { checksums: boolean },
): AsyncGenerator<RecordBatch[]> {
  let position = from;
  let wanted = CHUNK;
  let lastOffset = -1;
  while (position < to) {
    const buffer = await file.read(position, Math.min(wanted, to - position));
    const batches: RecordBatch[] = [];
    let at = 0;
    let size = batchSizeAt(buffer, at);
    for (; size !== undefined && at + size <= buffer.length; size = batchSizeAt(buffer, at)) {
      const batch = new RecordBatch(buffer.subarray(at, at + size));
      if (!follows(batch, lastOffset) || (options.checksums && !batch.hasValidChecksum)) {
        if (batches.length > 0) yield batches;
        return;
      }
      lastOffset = batch.lastOffset;
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

function follows(batch: RecordBatch, lastOffset: number): boolean {
  return batch.magic === 2 && batch.baseOffset > lastOffset && batch.lastOffsetDelta >= 0;
}
