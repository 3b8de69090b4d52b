/**
 * One segment of a partition: a file of consecutive record batches, named after its first offset. The bytes below `size`
 * are on disk and valid; later bytes belong to an unfinished or failed write and are not read.
 *
 * Memory: one index entry (three numbers) for each INDEX_INTERVAL bytes of the file, and one file descriptor.
 */
import { join } from "node:path";
import type { Disk, DiskFile } from "../storage/disk.ts";
import { batchSizeAt, HEADER_SIZE, RecordBatch } from "./batch.ts";
import { scanBatches } from "./scan.ts";

/** The minimum distance of two index entries in bytes. */
const INDEX_INTERVAL = 4096;

interface IndexEntry {
  readonly offset: number;
  readonly position: number;
  /** The largest timestamp of all batches before this position. */
  readonly maxTimestampBefore: number;
}

export class Segment {
  size = 0;
  /** The last stored offset; `baseOffset - 1` while empty. */
  lastOffset: number;
  maxTimestamp = -1;
  /** The time of the first append since the start of the process, for segment.ms. */
  filledSince = Date.now();
  readonly #index: IndexEntry[] = [];
  #readers = 0;
  #retired = false;

  private constructor(
    private readonly file: DiskFile,
    readonly baseOffset: number,
    /** Updated when the file is renamed. */
    public path: string,
  ) {
    this.lastOffset = baseOffset - 1;
  }

  static async create(disk: Disk, path: string, baseOffset: number): Promise<Segment> {
    return new Segment(await disk.open(path, "create"), baseOffset, path);
  }

  /**
   * Opens an existing file and rebuilds the index from it.
   * @param tail for the last segment, which may end in a torn write: verifies checksums and truncates invalid bytes.
   * @returns the segment, and the number of invalid bytes at the end of the file.
   */
  static async load(
    disk: Disk,
    path: string,
    baseOffset: number,
    options: { tail: boolean; visit: (batch: RecordBatch) => void },
  ): Promise<{ segment: Segment; invalidBytes: number }> {
    const file = await disk.open(path, "existing");
    const segment = new Segment(file, baseOffset, path);
    const fileSize = await file.size();
    for await (const batches of scanBatches(file, 0, fileSize, { checksums: options.tail })) {
      for (const batch of batches) {
        segment.#add(batch);
        options.visit(batch);
      }
    }
    const invalidBytes = fileSize - segment.size;
    if (invalidBytes > 0 && options.tail) await segment.dropTail();
    return { segment, invalidBytes };
  }

  get isEmpty(): boolean {
    return this.size === 0;
  }

  /** Writes and syncs the batches, then makes them visible. A failure changes nothing but the bytes after `size`. */
  async append(batches: readonly RecordBatch[]): Promise<void> {
    const [first] = batches;
    if (!first) return;
    const bytes = batches.length === 1 ? first.bytes : Buffer.concat(batches.map((batch) => batch.bytes));
    await this.file.write(bytes, this.size);
    await this.file.sync();
    for (const batch of batches) this.#add(batch);
  }

  /** Truncates the bytes of a failed write. */
  async dropTail(): Promise<void> {
    await this.file.truncate(this.size);
  }

  /**
   * Complete batches up to `maxBytes`, starting with the first that ends at or after `offset`.
   * @param atLeastOne returns the first batch even if it is larger than `maxBytes`, so that a reader makes progress (KIP-74).
   * @returns undefined when there is no such batch, for example because compaction removed it.
   */
  async read(offset: number, maxBytes: number, atLeastOne: boolean): Promise<Buffer | undefined> {
    return this.#whileOpen(async () => {
      const start = this.#positionBefore(offset);
      const length = Math.min(INDEX_INTERVAL + HEADER_SIZE + maxBytes, this.size - start);
      const buffer = await this.file.read(start, length);
      const from = firstBatchEndingAt(buffer, offset);
      const size = batchSizeAt(buffer, from);
      if (size === undefined) return undefined;
      if (size > maxBytes) return atLeastOne ? this.file.read(start + from, size) : Buffer.alloc(0);
      return buffer.subarray(from, wholeBatchesEnd(buffer, from, Math.min(buffer.length, from + maxBytes)));
    });
  }

  /** The stored bytes from `offset` on, rounded up to an index interval. */
  bytesFrom(offset: number): number {
    return this.size - this.#positionBefore(offset);
  }

  /** All batches, one group per read. @param timestamp skips leading batches in which all records are older. */
  async *batches(timestamp = Number.NEGATIVE_INFINITY): AsyncGenerator<RecordBatch[]> {
    const from = this.#lastEntry((entry) => entry.maxTimestampBefore < timestamp)?.position ?? 0;
    this.#readers += 1;
    try {
      yield* scanBatches(this.file, from, this.size, { checksums: false });
    } finally {
      await this.#release();
    }
  }

  /** Closes the file when the last reader is done. The caller may delete the file before that. */
  async retire(): Promise<void> {
    this.#readers += 1;
    this.#retired = true;
    await this.#release();
  }

  #add(batch: RecordBatch): void {
    if (this.size - (this.#index.at(-1)?.position ?? 0) >= INDEX_INTERVAL) {
      this.#index.push({
        offset: batch.baseOffset,
        position: this.size,
        maxTimestampBefore: this.maxTimestamp,
      });
    }
    if (this.size === 0) this.filledSince = Date.now();
    this.size += batch.bytes.length;
    this.lastOffset = batch.lastOffset;
    this.maxTimestamp = Math.max(this.maxTimestamp, batch.maxTimestamp);
  }

  #positionBefore(offset: number): number {
    return this.#lastEntry((entry) => entry.offset <= offset)?.position ?? 0;
  }

  /** Binary search for the last entry that satisfies `holds`; `holds` must be true up to that entry and false after it. */
  #lastEntry(holds: (entry: IndexEntry) => boolean): IndexEntry | undefined {
    let low = 0;
    let high = this.#index.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#index[middle];
      if (entry && holds(entry)) low = middle + 1;
      else high = middle;
    }
    return this.#index[low - 1];
  }

  async #whileOpen<T>(use: () => Promise<T>): Promise<T> {
    this.#readers += 1;
    try {
      return await use();
    } finally {
      await this.#release();
    }
  }

  async #release(): Promise<void> {
    this.#readers -= 1;
    if (this.#retired && this.#readers === 0) await this.file.close();
  }
}

export function isSegment(fileName: string): boolean {
  return /^\d{20}\.log$/.test(fileName);
}

/** Twenty digits as in Apache Kafka, so that names sort by offset. */
export function segmentPath(directory: string, baseOffset: number): string {
  return join(directory, `${String(baseOffset).padStart(20, "0")}.log`);
}

/** The position in `buffer` of the first batch whose last offset is `offset` or later. */
function firstBatchEndingAt(buffer: Buffer, offset: number): number {
  let at = 0;
  for (let size = batchSizeAt(buffer, at); size !== undefined; size = batchSizeAt(buffer, at)) {
    if (buffer.length - at < HEADER_SIZE || new RecordBatch(buffer.subarray(at)).lastOffset >= offset) break;
    at += size;
  }
  return Math.min(at, buffer.length);
}

function wholeBatchesEnd(buffer: Buffer, from: number, limit: number): number {
  let end = from;
  for (;;) {
    const size = batchSizeAt(buffer, end);
    if (size === undefined || end + size > limit) return end;
    end += size;
  }
}
