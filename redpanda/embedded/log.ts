/**
 * The log of one partition: segments on disk, appended to in groups, each group synced before anyone sees it.
 *
 *   append → offset assigned (`nextOffset`) → group written and fdatasynced → `highWatermark` moves → answered, read
 *
 * The promise behind it: what is acknowledged or read is on disk. A crash can lose only what was neither.
 */
import type { Disk } from "./disk.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import { GroupCommit } from "./group-commit.ts";
import { type Logger, messageOf } from "./logger.ts";
import type { ProducerStates } from "./producers.ts";
import { RecordBatch } from "./records.ts";
import { type Recovered, recover } from "./recovery.ts";
import { Segment, segmentPath } from "./segment.ts";
import type { TopicConfig } from "./topic-config.ts";

/** One leader since ever: nothing is replicated. */
export const LEADER_EPOCH = 0;

export interface LogOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly config: TopicConfig;
  readonly logger: Logger;
}

export interface Appended {
  readonly baseOffset: number;
  /** Resolves when the batch is on disk; rejects with KAFKA_STORAGE_ERROR when it could not be stored. */
  readonly durable: Promise<void>;
}

type Work = () => Promise<void>;

export class PartitionLog {
  /** Oldest first; the last one is appended to. */
  segments: [Segment, ...Segment[]];
  /** Readers below this are told OFFSET_OUT_OF_RANGE. */
  startOffset: number;
  /** The offset that the next record gets; from `highWatermark` up to here nothing is certain yet. */
  nextOffset: number;
  /** The end of what is on disk, which is what readers see. */
  highWatermark: number;
  readonly producers: ProducerStates;
  readonly #commits = new GroupCommit<RecordBatch | Work>((group) => this.#commit(group));
  readonly #listeners = new Set<(bytes: number) => void>();
  #tailIsTorn = false;
  #closed = false;

  private constructor(
    readonly options: LogOptions,
    { segments, producers }: Recovered,
    startOffset: number,
  ) {
    this.segments = segments;
    this.producers = producers;
    this.startOffset = Math.max(startOffset, segments[0].baseOffset);
    this.nextOffset = this.active.lastOffset + 1;
    this.highWatermark = this.nextOffset;
  }

  /** Opens the log in its directory, or makes it. @param startOffset the lowest offset to be read, see DeleteRecords. */
  static async open(options: LogOptions, startOffset = 0): Promise<PartitionLog> {
    return new PartitionLog(
      options,
      await recover(options.disk, options.directory, options.logger),
      startOffset,
    );
  }

  get active(): Segment {
    return this.segments.at(-1) ?? this.segments[0];
  }

  /**
   * Gives the batch its offsets and queues it. Synchronous up to the queue: the order of calls is the order of offsets.
   * @throws KafkaError when an idempotent producer's epoch or sequence does not fit.
   */
  append(batch: RecordBatch): Appended {
    this.#checkOpen();
    const stored = batch.producerId < 0 ? undefined : this.producers.findDuplicate(batch);
    // The original may still be under way: an empty item rides behind it and shares its fate.
    if (stored !== undefined) return { baseOffset: stored, durable: this.exclusive(async () => {}) };
    const baseOffset = this.nextOffset;
    batch.assign(baseOffset, LEADER_EPOCH);
    this.nextOffset = baseOffset + batch.count;
    this.producers.record(batch, this.highWatermark);
    return { baseOffset, durable: this.#commits.add(batch) };
  }

  /**
   * Whole batches from the one that holds `offset` on, up to `maxBytes`; empty at the end of the log.
   * @param atLeastOne a first batch larger than `maxBytes` is returned all the same.
   * @throws KafkaError OFFSET_OUT_OF_RANGE
   */
  async read(offset: number, maxBytes: number, atLeastOne: boolean): Promise<Buffer> {
    this.checkRange(offset);
    let at = offset;
    while (at < this.highWatermark) {
      // Looked up anew after every wait, because compaction and retention replace segments meanwhile.
      const index = this.#segmentIndex(at);
      const found = await this.segments[index]?.read(at, maxBytes, atLeastOne);
      if (found) return found;
      const next = this.segments.find((segment) => segment.baseOffset > at);
      if (!next) break;
      at = next.baseOffset;
    }
    return Buffer.alloc(0);
  }

  /** How many bytes a read from `offset` could get, rounded up to an index interval. Throws as `read` does. */
  bytesFrom(offset: number): number {
    this.checkRange(offset);
    if (offset === this.highWatermark) return 0;
    const index = this.#segmentIndex(offset);
    return this.segments.slice(index).reduce((sum, segment) => sum + segment.bytesFrom(offset), 0);
  }

  checkRange(offset: number): void {
    this.#checkOpen();
    if (offset < this.startOffset || offset > this.highWatermark)
      throw new KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE);
  }

  /** Calls `listener` with the bytes of each group that became readable, and with 0 when the log closes. */
  onReadable(listener: (bytes: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Runs `work` in its turn among the appends, with none under way: for what changes the list of segments. */
  exclusive(work: Work): Promise<void> {
    return this.#commits.add(work);
  }

  /** Begins a new segment, so that the one before it can be compacted or deleted. Only within `exclusive`. */
  async roll(): Promise<void> {
    if (this.active.isEmpty) return;
    const baseOffset = this.active.lastOffset + 1;
    const path = segmentPath(this.options.directory, baseOffset);
    this.segments.push(await Segment.create(this.options.disk, path, baseOffset));
  }

  /** Accepts no more, stores what was accepted, wakes those who wait. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#commits.idle();
    this.#notify(0);
    for (const segment of this.segments) await segment.retire();
  }

  async #commit(group: (RecordBatch | Work)[]): Promise<void> {
    try {
      if (this.#tailIsTorn) await this.#repair();
      let run: RecordBatch[] = [];
      let size = this.active.size;
      for (const item of group) {
        const full = item instanceof RecordBatch && size > 0 && size + item.bytes.length > this.segmentBytes;
        if (full || !(item instanceof RecordBatch)) {
          await this.#store(run);
          await (item instanceof RecordBatch ? this.roll() : item());
          run = [];
          size = this.active.size;
        }
        if (!(item instanceof RecordBatch)) continue;
        run.push(item);
        size += item.bytes.length;
      }
      await this.#store(run);
    } catch (error) {
      throw await this.#undo(error);
    }
  }

  async #store(batches: RecordBatch[]): Promise<void> {
    if (batches.length === 0) return;
    await this.active.append(batches);
    this.highWatermark = this.active.lastOffset + 1;
    this.#notify(batches.reduce((sum, batch) => sum + batch.bytes.length, 0));
  }

  /** Takes back everything that is not on disk: the log goes on from the high watermark as if it had never come. */
  async #undo(cause: unknown): Promise<KafkaError> {
    this.options.logger.error("append failed", { path: this.active.path, error: messageOf(cause) });
    const error = new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, messageOf(cause));
    this.nextOffset = this.highWatermark;
    this.producers.undoFrom(this.highWatermark);
    this.#commits.rejectWaiting(error);
    this.#tailIsTorn = true;
    // When this fails too, the next append tries again before it writes.
    await this.#repair().catch(() => {});
    return error;
  }

  async #repair(): Promise<void> {
    await this.active.dropTail();
    this.#tailIsTorn = false;
  }

  private get segmentBytes(): number {
    return this.options.config.segmentBytes;
  }

  #checkOpen(): void {
    if (this.#closed) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  }

  #notify(bytes: number): void {
    for (const listener of this.#listeners) listener(bytes);
  }

  /** The last segment that begins at or before `offset`. */
  #segmentIndex(offset: number): number {
    return Math.max(
      0,
      this.segments.findLastIndex((segment) => segment.baseOffset <= offset),
    );
  }
}
