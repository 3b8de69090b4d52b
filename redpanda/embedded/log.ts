/**
 * The log of one partition: segments on disk, appended to in groups, each group synced before anyone sees it.
 *
 *   append → offset assigned → group written and fdatasynced → `highWatermark` moves → answered, read
 *
 * The promise behind it: what is acknowledged or read is on disk. A crash can lose only what was neither.
 */

import { ErrorCode, KafkaError } from "./errors.ts";
import type { RecordBatch } from "./log/batch.ts";
import type { ProducerStates } from "./log/producers.ts";
import { type Recovered, recover } from "./log/recovery.ts";
import { Segments } from "./log/segments.ts";
import { type Appended, LogWriter, type Work } from "./log/writer.ts";
import type { Logger } from "./logger.ts";
import type { Disk } from "./storage/disk.ts";
import type { TopicConfig } from "./topics/config.ts";

export interface LogOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly config: TopicConfig;
  readonly logger: Logger;
}

export class PartitionLog {
  readonly segments: Segments;
  readonly producers: ProducerStates;
  /** Below this offset compaction has done its work; a restart begins anew. */
  compactedTo = 0;
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

  /** Opens the log in its directory, or makes it. @param startOffset the lowest offset to be read, see DeleteRecords. */
  static async open(options: LogOptions, startOffset = 0): Promise<PartitionLog> {
    return new PartitionLog(
      options,
      await recover(options.disk, options.directory, options.logger),
      startOffset,
    );
  }

  /** Readers below this are told OFFSET_OUT_OF_RANGE. */
  get startOffset(): number {
    return Math.max(this.#startOffset, this.segments.first.baseOffset);
  }

  /** The end of what is on disk, which is what readers see. */
  get highWatermark(): number {
    return this.#writer.highWatermark;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** As `LogWriter.append`. @throws KafkaError */
  append(batch: RecordBatch): Appended {
    this.checkOpen();
    return this.#writer.append(batch);
  }

  /**
   * Whole batches from the one that holds `offset` on, up to `maxBytes`; empty at the end of the log.
   * @param atLeastOne a first batch larger than `maxBytes` is returned all the same.
   * @throws KafkaError OFFSET_OUT_OF_RANGE
   */
  async read(offset: number, maxBytes: number, atLeastOne: boolean): Promise<Buffer> {
    this.#checkRange(offset);
    if (offset === this.highWatermark) return Buffer.alloc(0);
    return this.segments.read(offset, maxBytes, atLeastOne);
  }

  /** How many bytes a read from `offset` could get, rounded up to an index interval. Throws as `read` does. */
  bytesFrom(offset: number): number {
    this.#checkRange(offset);
    return offset === this.highWatermark ? 0 : this.segments.bytesFrom(offset);
  }

  /** Calls `listener` with the bytes of each group that became readable, and with 0 when the log closes. */
  onReadable(listener: (bytes: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hides what is below `offset`; retention removes the files. */
  raiseStartOffset(offset: number): void {
    this.#startOffset = Math.max(this.#startOffset, offset);
  }

  /** As `LogWriter.exclusive`. */
  exclusive(work: Work): Promise<void> {
    return this.#writer.exclusive(work);
  }

  /** Closes the active segment, so that it can be compacted or deleted. */
  roll(): Promise<void> {
    return this.exclusive(() => this.#writer.roll());
  }

  /** Runs retention or compaction, one at a time; `close` waits for it. */
  maintain(work: Work): Promise<void> {
    const done = this.#maintenance.then(work);
    this.#maintenance = done.catch(() => {});
    return done;
  }

  /** @throws KafkaError when the topic is gone or the broker stops. */
  checkOpen(): void {
    if (this.#closed) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  }

  /** Accepts no more, wakes those who wait to read, stores what was accepted. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake(0);
    await this.#maintenance;
    await this.#writer.idle();
    for (const segment of this.segments.all) await segment.retire();
  }

  #checkRange(offset: number): void {
    this.checkOpen();
    if (offset < this.startOffset || offset > this.highWatermark) {
      throw new KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE);
    }
  }

  #wake(bytes: number): void {
    for (const listener of this.#listeners) listener(bytes);
  }
}
