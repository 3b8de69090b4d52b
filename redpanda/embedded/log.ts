/**
 * The log of one partition: segments on disk, appended to in groups; each group is synced before it becomes visible.
 *
 *   append → offset assigned → group written and fdatasynced → `highWatermark` moves → answered, read
 *
 * Every acknowledged or readable record is on disk. A crash loses only records that were neither.
 */

import { ErrorCode, KafkaError } from "./errors.ts";
import { Arrivals } from "./log/arrivals.ts";
import { batchesBelow, type RecordBatch } from "./log/batch.ts";
import { type Marker, markerBatch } from "./log/markers.ts";
import type { ProducerStates } from "./log/producers.ts";
import { type LogSummary, type Recovered, type RecoveryOptions, recover } from "./log/recovery.ts";
import { Segments } from "./log/segments.ts";
import { type Appended, type LogOptions, LogWriter, type Work } from "./log/writer.ts";

export class PartitionLog {
  readonly segments: Segments;
  readonly producers: ProducerStates;
  readonly arrivals = new Arrivals();
  /** Compaction is complete below this offset. Starts at 0 after a restart. */
  compactedTo = 0;
  /** Set by a compaction that could not remove the segments that it merged. */
  mergedFilesRemain = false;
  readonly #writer: LogWriter;
  readonly #listeners = new Set<(bytes: number) => void>();
  #startOffset: number;
  #maintenance: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(
    readonly options: LogOptions,
    { segments, producers }: Recovered,
    startOffset: number,
  ) {
    this.segments = new Segments(segments);
    this.producers = producers;
    this.#writer = new LogWriter(options, this.segments, producers, (bytes) => this.#wake(bytes));
    this.#startOffset = Math.min(startOffset, this.highWatermark);
  }

  /**
   * Opens the log in its directory or creates it.
   * @param startOffset the lowest readable offset, see DeleteRecords.
   * @param recovery as for `recover`.
   */
  static async open(
    options: LogOptions,
    { startOffset = 0, ...recovery }: Partial<RecoveryOptions> & { readonly startOffset?: number } = {},
  ): Promise<PartitionLog> {
    const known = { cleanStop: false, hasGaps: options.config.compact, ...recovery };
    return new PartitionLog(options, await recover(options, known), startOffset);
  }

  /** For a clean stop; undefined when the next start has to read the files. */
  get summary(): LogSummary | undefined {
    if (this.segments.active.endIsUnknown) return undefined;
    const segments = this.segments.all.map(({ summary }) => summary);
    return { segments, producers: this.producers.summary };
  }

  /** Verifies what earlier processes wrote, and was not read yet. */
  async verify(): Promise<void> {
    for (const segment of this.segments.all) if (!this.#closed) await segment.verified();
  }

  /** A read below this fails with OFFSET_OUT_OF_RANGE. */
  get startOffset(): number {
    return Math.max(this.#startOffset, this.segments.first.baseOffset);
  }

  /** The offset after the last record on disk; readers see the records below it. */
  get highWatermark(): number {
    return this.#writer.highWatermark;
  }

  /** Where the first transaction that is not decided begins; readers of committed records see those below it. */
  get lastStableOffset(): number {
    const { highWatermark } = this;
    const unstable = this.producers.transactions.firstUnstable(highWatermark) ?? highWatermark;
    return Math.max(this.startOffset, Math.min(unstable, highWatermark));
  }

  /** Whether the next start must repair the files as after an unclean stop. */
  get needsRecovery(): boolean {
    return this.#writer.tailIsTorn || this.mergedFilesRemain;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** As `LogWriter.append`. @throws KafkaError, also KAFKA_STORAGE_ERROR when the end of the log is damaged */
  append(batch: RecordBatch): Appended {
    this.checkOpen();
    if (this.segments.active.endIsUnknown) {
      const message = "the end of the log is damaged, so the next offset is unknown";
      throw new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, message);
    }
    return this.#writer.append(batch);
  }

  /**
   * Ends the open transaction of the producer, if it has one here, with a marker. Resolves when the marker is on disk.
   * @throws KafkaError as `append`
   */
  async endTransaction(marker: Marker): Promise<void> {
    if (this.producers.transactions.isOpen(marker.producerId)) await this.append(markerBatch(marker)).durable;
  }

  /**
   * Complete batches up to `maxBytes`, starting with the one that contains `offset`; empty at the end of the log.
   * @param atLeastOne returns the first batch even if it is larger than `maxBytes`.
   * @param end only batches below it: the high watermark, or the last stable offset.
   * @throws KafkaError OFFSET_OUT_OF_RANGE, or CORRUPT_MESSAGE when `offset` is in damaged bytes
   */
  async read(
    offset: number,
    maxBytes: number,
    atLeastOne: boolean,
    end = this.highWatermark,
  ): Promise<Buffer> {
    this.#checkRange(offset);
    if (offset >= end) return Buffer.alloc(0);
    const found = await this.segments.read(offset, maxBytes, atLeastOne);
    return end < this.highWatermark ? batchesBelow(found, end) : found;
  }

  /**
   * The bytes readable from `offset`, rounded up to an index interval.
   * @param end as in `read`. @throws KafkaError OFFSET_OUT_OF_RANGE
   */
  bytesFrom(offset: number, end = this.highWatermark): number {
    this.#checkRange(offset);
    if (offset >= end) return 0;
    if (end === this.highWatermark) return this.segments.bytesFrom(offset);
    return Math.max(1, this.segments.bytesFrom(offset) - this.segments.bytesFrom(end));
  }

  /** Calls `listener` with the bytes of each newly readable group, and with 0 when the log closes. @returns unsubscribes */
  onReadable(listener: (bytes: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes the offsets below `offset` unreadable; retention removes the files. */
  raiseStartOffset(offset: number): void {
    this.#startOffset = Math.max(this.#startOffset, offset);
  }

  /** As `LogWriter.exclusive`. */
  exclusive(work: Work): Promise<void> {
    return this.#writer.exclusive(work);
  }

  /** Starts a new segment, so that the active one can be compacted or deleted. */
  roll(): Promise<void> {
    return this.exclusive(() => this.#writer.roll());
  }

  /** Runs retention or compaction, one at a time; `close` waits for it. */
  maintain(work: Work): Promise<void> {
    const done = this.#maintenance.then(work);
    this.#maintenance = done.catch(() => {});
    return done;
  }

  /** @throws KafkaError when the topic is deleted or the broker stops. */
  checkOpen(): void {
    if (this.#closed) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  }

  /** Refuses further appends, notifies waiting readers, stores accepted batches, closes the files. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake(0);
    await this.#maintenance;
    await this.#writer.close();
    for (const segment of this.segments.all) await segment.retire();
  }

  #checkRange(offset: number): void {
    this.checkOpen();
    if (offset >= this.highWatermark && this.segments.active.endIsUnknown) {
      throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
    }
    if (offset < this.startOffset || offset > this.highWatermark) {
      throw new KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE);
    }
  }

  #wake(bytes: number): void {
    for (const listener of this.#listeners) listener(bytes);
  }
}
