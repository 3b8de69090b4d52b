/**
 * One segment of a partition: a file of consecutive record batches, named after its first offset. The bytes below `size`
 * are on disk and, except for `damages`, valid; later bytes belong to a failed write and are not read.
 *
 * What an earlier process wrote is verified before its first use: when the segment is loaded, or later (`verified`).
 *
 * Memory: one index entry (three numbers) for each INDEX_INTERVAL bytes of the file, and one file descriptor.
 */
import { join } from "node:path";
import { ErrorCode, KafkaError } from "../errors.ts";
import type { Disk, DiskFile } from "../storage/disk.ts";
import type { BaseOffsets } from "./base-offsets.ts";
import { batchSizeAt, HEADER_SIZE, RecordBatch } from "./batch.ts";
import { type Expected, findBatch, scanBatches } from "./scan.ts";

/** The minimum distance of two index entries in bytes. */
const INDEX_INTERVAL = 4096;

/** A higher offset is damage: numbers are exact below it. */
const OFFSETS_END = Number.MAX_SAFE_INTEGER;

interface IndexEntry {
  readonly offset: number;
  readonly position: number;
  /** The largest timestamp of all batches before this position. */
  readonly maxTimestampBefore: number;
}

/** Invalid bytes of the file; none when batches are missing between two segments. */
interface Damage {
  readonly position: number;
  readonly end: number;
  /** The offset after the last valid batch before. */
  readonly firstOffset: number;
  /** The offset of the first valid batch after; undefined at the end of the last segment. */
  readonly nextOffset: number | undefined;
}

interface LoadOptions {
  /** The base offset of the next segment; undefined for the last one. */
  readonly nextBase: number | undefined;
  /** Whether offsets may be missing between batches, because of compaction. */
  readonly hasGaps: boolean;
  /** What a segment with gaps must have, if that is known. @param size of the segment */
  readonly baseOffsets: (size: number) => Promise<BaseOffsets | undefined>;
  /** All offsets are lower: of a segment before the last, at most the base offset of the last. */
  readonly below: number | undefined;
  readonly visit: (batch: RecordBatch) => void;
}

/** What is known of a segment that is not loaded. */
export interface SegmentSummary {
  readonly baseOffset: number;
  readonly size: number;
  readonly lastOffset: number;
  readonly maxTimestamp: number;
}

/** The bytes of an earlier process, which are not verified yet. */
interface Unverified {
  readonly end: number;
  readonly load: LoadOptions;
  readonly onDamage: (segment: Segment) => void;
  /** Set while they are being verified. */
  done?: Promise<void> | undefined;
}

export class Segment {
  size = 0;
  /** The last stored offset; `baseOffset - 1` while empty. */
  lastOffset: number;
  maxTimestamp = -1;
  /** The time of the first append since the start of the process, for segment.ms. */
  filledSince = Date.now();
  readonly #index: IndexEntry[] = [];
  readonly #damages: Damage[] = [];
  #unverified: Unverified | undefined;
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

  /** Opens an existing file, verifies every batch and rebuilds the index. Invalid bytes become `damages`. */
  static async load(disk: Disk, path: string, baseOffset: number, options: LoadOptions): Promise<Segment> {
    const segment = new Segment(await disk.open(path, "existing"), baseOffset, path);
    try {
      await segment.#load(options, await segment.file.size());
      return segment;
    } catch (error) {
      await segment.retire();
      throw error;
    }
  }

  /**
   * Opens an existing file without reading it; it is verified before its first use.
   * @param load as for `load`; nothing is visited
   * @param onDamage called when damages are found
   * @returns undefined when the file has another size than its summary
   */
  static async open(
    disk: Disk,
    path: string,
    summary: SegmentSummary,
    load: Omit<LoadOptions, "visit">,
    onDamage: (segment: Segment) => void,
  ): Promise<Segment | undefined> {
    const segment = new Segment(await disk.open(path, "existing"), summary.baseOffset, path);
    const isAsSummarized = await segment.file.size().then(
      (size) => size === summary.size,
      () => false,
    );
    if (!isAsSummarized) {
      await segment.retire();
      return undefined;
    }
    segment.size = summary.size;
    segment.lastOffset = summary.lastOffset;
    segment.maxTimestamp = summary.maxTimestamp;
    if (summary.size > 0) {
      segment.#unverified = { end: summary.size, load: { ...load, visit: () => {} }, onDamage };
    }
    return segment;
  }

  get summary(): SegmentSummary {
    const { baseOffset, size, lastOffset, maxTimestamp } = this;
    return { baseOffset, size, lastOffset, maxTimestamp };
  }

  /**
   * Resolves when everything that an earlier process wrote is verified, or the file is closed.
   * @throws Error of the disk; a later call tries again
   */
  async verified(): Promise<void> {
    const unverified = this.#unverified;
    if (!unverified || this.#isClosed) return;
    unverified.done ??= this.#verify(unverified).finally(() => {
      unverified.done = undefined;
    });
    await unverified.done;
  }

  /** In order of position. Complete when `verified` has resolved. */
  get damages(): readonly Damage[] {
    return this.#damages;
  }

  /** Whether the offset after the last record is unknown, because the end of the last segment is damaged. */
  get endIsUnknown(): boolean {
    const last = this.#damages.at(-1);
    return last !== undefined && last.nextOffset === undefined;
  }

  /** Moves invalid bytes at the end to a new file, durably. @returns what was moved, if anything */
  async cutOffTail(disk: Disk): Promise<{ position: number; bytes: number; keptIn: string } | undefined> {
    const tail = this.#damages.at(-1);
    if (!tail || !this.endIsUnknown) return undefined;
    const { position, end } = tail;
    const keptIn = await disk.cutOff(this.file, position);
    this.#damages.pop();
    this.size = position;
    return { position, bytes: end - position, keptIn };
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
   * @throws KafkaError CORRUPT_MESSAGE when `offset` is in damaged bytes.
   */
  async read(offset: number, maxBytes: number, atLeastOne: boolean): Promise<Buffer | undefined> {
    return this.#whileOpen(async () => {
      await this.verified();
      const start = this.#positionBefore(offset);
      // Missing bytes at `start` are damage to the offsets before the batch that is there.
      const damage = this.#damages.find(
        ({ position, end, nextOffset = OFFSETS_END }) =>
          position >= start && (end > start || offset < nextOffset),
      );
      const end = damage?.position ?? this.size;
      const length = Math.min(INDEX_INTERVAL + HEADER_SIZE + maxBytes, end - start);
      const buffer = await this.file.read(start, length);
      const from = firstBatchEndingAt(buffer, offset);
      const size = batchSizeAt(buffer, from);
      if (size === undefined && damage) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
      if (size === undefined) return undefined;
      if (size > maxBytes) return atLeastOne ? this.file.read(start + from, size) : Buffer.alloc(0);
      return buffer.subarray(from, wholeBatchesEnd(buffer, from, Math.min(buffer.length, from + maxBytes)));
    });
  }

  /** The stored bytes from `offset` on, rounded up to an index interval, or to the beginning of what is not verified. */
  bytesFrom(offset: number): number {
    // Compaction may have removed what was between its last offset and the next segment.
    if (offset > this.lastOffset) return 0;
    return this.size - this.#positionBefore(offset);
  }

  /**
   * All batches, one group per read.
   * @param timestamp skips leading batches in which all records are older. Call before any await since the segment was
   *   found in the log: one that is retired meanwhile stays open then.
   * @throws KafkaError CORRUPT_MESSAGE at the first damage.
   */
  async *batches(timestamp = Number.NEGATIVE_INFINITY): AsyncGenerator<RecordBatch[]> {
    this.#readers += 1;
    try {
      await this.verified();
      if (this.maxTimestamp < timestamp && this.#damages.length === 0) return;
      const from = this.#lastEntry((entry) => entry.maxTimestampBefore < timestamp)?.position ?? 0;
      const damage = this.#damages.find(({ position }) => position >= from);
      const expected = { from: this.baseOffset, exact: false, below: OFFSETS_END };
      const { size } = this;
      let position = from;
      for await (const batches of scanBatches(this.file, from, damage?.position ?? size, expected)) {
        yield batches;
        for (const { bytes } of batches) position += bytes.length;
      }
      // Damaged at the start of the broker, or since.
      if (damage || position < size) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
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

  /** Loads the same file again, into another segment, whose index and damages this one takes. */
  async #verify({ end, load, onDamage }: Unverified): Promise<void> {
    const { index, damages } = await this.#whileOpen(async () => {
      const loaded = new Segment(this.file, this.baseOffset, this.path);
      await loaded.#load(load, end);
      return { index: loaded.#index, damages: loaded.#damages };
    });
    // What was appended meanwhile comes after it. What the damaged records have is not known.
    const maxTimestampBefore = Number.POSITIVE_INFINITY;
    const appended = this.#index.splice(0);
    this.#index.push(
      ...index,
      ...(damages.length > 0 ? appended.map((entry) => ({ ...entry, maxTimestampBefore })) : appended),
    );
    this.#damages.unshift(...damages);
    this.#unverified = undefined;
    if (damages.length > 0) onDamage(this);
  }

  async #load(options: LoadOptions, end: number): Promise<void> {
    const { nextBase, hasGaps, below = OFFSETS_END, visit } = options;
    const baseOffsets = hasGaps ? await options.baseOffsets(end) : undefined;
    const misplaced = hasGaps && !baseOffsets ? await this.#misplaced(end) : new Set<number>();
    const expected: Expected = { from: this.baseOffset, exact: !hasGaps, below, baseOffsets };
    while (this.size < end) {
      // A misplaced batch has a valid checksum, so the scan must end before it.
      const limit = Math.min(end, ...[...misplaced].filter((position) => position >= this.size));
      for await (const batches of scanBatches(this.file, this.size, limit, expected)) {
        for (const batch of batches) {
          this.#add(batch);
          visit(batch);
        }
      }
      if (this.size === end) break;
      const position = this.size;
      let next = await findBatch(this.file, position, end, expected);
      while (misplaced.has(next)) next = await findBatch(this.file, next, end, expected);
      const isLast = next === end;
      const after = isLast ? nextBase : new RecordBatch(await this.file.read(next, HEADER_SIZE)).baseOffset;
      this.#damages.push({ position, end: next, firstOffset: expected.from, nextOffset: after });
      this.size = next;
      if (after !== undefined) expected.from = after;
    }
    if (nextBase === undefined || hasGaps) return;
    if (expected.from < nextBase) {
      this.#damages.push({ position: end, end, firstOffset: expected.from, nextOffset: nextBase });
    }
    this.lastOffset = nextBase - 1;
  }

  /**
   * The positions of the batches on both sides of a decrease of the offsets, for a segment whose base offsets are not
   * known. In a log with gaps, either of the two base offsets may be the wrong one.
   */
  async #misplaced(end: number): Promise<Set<number>> {
    const found = new Set<number>();
    let before = { position: 0, lastOffset: -1 };
    for (let position = 0; position < end; ) {
      const start = position;
      const anywhere = { from: 0, exact: false, below: OFFSETS_END };
      for await (const batches of scanBatches(this.file, position, end, anywhere)) {
        for (const batch of batches) {
          if (batch.baseOffset <= before.lastOffset) found.add(before.position).add(position);
          before = { position, lastOffset: batch.lastOffset };
          position += batch.bytes.length;
        }
      }
      if (position === start) position = await findBatch(this.file, position, end, anywhere);
    }
    return found;
  }

  #add(batch: RecordBatch): void {
    const damage = this.#damages.at(-1);
    // What comes after damage, or may come after it, is found without reading what is before.
    const mustBeIndexed = damage?.end === this.size || this.#unverified?.end === this.size;
    if (mustBeIndexed || this.size - (this.#index.at(-1)?.position ?? 0) >= INDEX_INTERVAL) {
      this.#index.push({
        offset: batch.baseOffset,
        position: this.size,
        // What the damaged records have is not known, so a lookup does not skip them.
        maxTimestampBefore: damage ? Number.POSITIVE_INFINITY : this.maxTimestamp,
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

  get #isClosed(): boolean {
    return this.#retired && this.#readers === 0;
  }

  async #release(): Promise<void> {
    this.#readers -= 1;
    if (this.#isClosed) await this.file.close();
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
