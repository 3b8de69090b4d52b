/**
 * Appends to a log; no other code writes to a segment that readers can see.
 *
 * A group of batches is written and synced, then becomes visible, then is acknowledged. If a write fails, the group and
 * all batches queued after it are refused, and the log continues at the last synced byte. So a full disk refuses
 * requests but loses no data, and appends succeed again when there is space.
 */

import { ErrorCode, KafkaError } from "../errors.ts";
import { FailureLog, type Logger, messageOf } from "../logger.ts";
import type { Disk } from "../storage/disk.ts";
import { GroupCommit } from "../storage/group-commit.ts";
import type { TopicConfig } from "../topics/config.ts";
import { RecordBatch } from "./batch.ts";
import type { ProducerStates } from "./producers.ts";
import { Segment, segmentPath } from "./segment.ts";
import type { Segments } from "./segments.ts";

export interface LogOptions {
  readonly directory: string;
  readonly disk: Disk;
  /** Each use reads it again: it may be changed. */
  readonly config: TopicConfig;
  readonly logger: Logger;
}

export interface Appended {
  readonly baseOffset: number;
  /** Resolves when the batch is on disk; rejects with KAFKA_STORAGE_ERROR when it could not be stored. */
  readonly durable: Promise<void>;
}

export type Work = () => Promise<void>;

export class LogWriter {
  /** The offset of the next record; the records from `highWatermark` up to it are not synced yet. */
  #nextOffset: number;
  #highWatermark: number;
  readonly #commits = new GroupCommit<RecordBatch | Work>((group) => this.#commit(group));
  readonly #failures: FailureLog;
  #tailIsTorn = false;

  /** @param onStored called with the number of bytes that became visible. */
  constructor(
    private readonly options: LogOptions,
    private readonly segments: Segments,
    private readonly producers: ProducerStates,
    private readonly onStored: (bytes: number) => void,
  ) {
    this.#failures = new FailureLog(options.logger);
    this.#nextOffset = segments.active.lastOffset + 1;
    this.#highWatermark = this.#nextOffset;
  }

  /** The offset after the last record on disk. */
  get highWatermark(): number {
    return this.#highWatermark;
  }

  /**
   * Assigns offsets to the batch and queues it, synchronously: the order of calls is the order of offsets.
   * @throws KafkaError when the epoch or sequence of an idempotent producer is invalid.
   */
  append(batch: RecordBatch): Appended {
    const hasSequence = batch.producerId >= 0 && !batch.isControl;
    const stored = hasSequence ? this.producers.findDuplicate(batch) : undefined;
    // The original may not be synced yet: the duplicate is queued behind it and fails with it.
    if (stored !== undefined) return { baseOffset: stored, durable: this.exclusive(async () => {}) };
    const baseOffset = this.#nextOffset;
    batch.assign(baseOffset);
    this.#nextOffset = baseOffset + batch.count;
    this.producers.record(batch, this.#highWatermark);
    return { baseOffset, durable: this.#commits.add(batch) };
  }

  /**
   * Runs `work` in order with the appends and without a concurrent one, to change the list of segments. A failure of
   * `work` does not affect the appends.
   */
  exclusive(work: Work): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#commits.add(() => work().then(resolve, reject)).catch(reject);
    });
  }

  /** Starts a new segment, so that the previous one can be compacted or deleted. Call within `exclusive`. */
  async roll(): Promise<void> {
    if (this.segments.active.isEmpty || this.segments.active.endIsUnknown) return;
    const baseOffset = this.segments.active.lastOffset + 1;
    const path = segmentPath(this.options.directory, baseOffset);
    this.segments.push(await Segment.create(this.options.disk, path, baseOffset));
  }

  /** Whether bytes of a failed write are still in the file. */
  get tailIsTorn(): boolean {
    return this.#tailIsTorn;
  }

  /** Resolves when every accepted batch is stored or refused, and a torn tail is removed if the disk allows it. */
  async close(): Promise<void> {
    await this.#commits.idle();
    if (this.#tailIsTorn) await this.#repair().catch(() => {});
  }

  async #commit(group: (RecordBatch | Work)[]): Promise<void> {
    try {
      if (this.#tailIsTorn) await this.#repair();
      let run: RecordBatch[] = [];
      let size = this.segments.active.size;
      for (const item of group) {
        const isBatch = item instanceof RecordBatch;
        if (!isBatch || (size > 0 && size + item.bytes.length > this.options.config.segmentBytes)) {
          await this.#store(run);
          await (isBatch ? this.roll() : item());
          run = [];
          size = this.segments.active.size;
        }
        if (!isBatch) continue;
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
    const { active } = this.segments;
    const sizeBefore = active.size;
    await active.append(batches);
    this.#highWatermark = active.lastOffset + 1;
    this.#failures.over("appends succeed again", { log: this.options.directory });
    this.onStored(active.size - sizeBefore);
  }

  async #undo(cause: unknown): Promise<KafkaError> {
    const fields = { log: this.options.directory, error: messageOf(cause) };
    this.#failures.failed("error", "append failed", fields);
    const error = new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, messageOf(cause));
    this.#nextOffset = this.#highWatermark;
    this.producers.undoFrom(this.#highWatermark);
    this.#commits.rejectWaiting(error);
    this.#tailIsTorn = true;
    // If the repair fails too, the next append repeats it before it writes.
    await this.#repair().catch(() => {});
    return error;
  }

  async #repair(): Promise<void> {
    await this.segments.active.dropTail();
    this.#tailIsTorn = false;
  }
}
