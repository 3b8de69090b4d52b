/**
 * The end of a log, where batches are added: the only code that writes segments which readers may see.
 *
 * A group of batches is written and synced, then it is visible, then it is acknowledged. When that fails, the whole
 * group and all that waits behind it is refused, and the log goes on from the last synced byte as if they had never
 * come: a full disk costs answers, not data, and the broker works again as soon as there is room.
 */

import { ErrorCode, KafkaError } from "../errors.ts";
import type { LogOptions } from "../log.ts";
import { messageOf } from "../logger.ts";
import { GroupCommit } from "../storage/group-commit.ts";
import { RecordBatch } from "./batch.ts";
import type { ProducerStates } from "./producers.ts";
import { Segment, segmentPath } from "./segment.ts";
import type { Segments } from "./segments.ts";

export interface Appended {
  readonly baseOffset: number;
  /** Resolves when the batch is on disk; rejects with KAFKA_STORAGE_ERROR when it could not be stored. */
  readonly durable: Promise<void>;
}

export type Work = () => Promise<void>;

export class LogWriter {
  /** The offset that the next record gets; from `highWatermark` up to here nothing is certain yet. */
  #nextOffset: number;
  #highWatermark: number;
  readonly #commits = new GroupCommit<RecordBatch | Work>((group) => this.#commit(group));
  #tailIsTorn = false;

  /** @param onStored called with the bytes that became visible. */
  constructor(
    private readonly options: LogOptions,
    private readonly segments: Segments,
    private readonly producers: ProducerStates,
    private readonly onStored: (bytes: number) => void,
  ) {
    this.#nextOffset = segments.active.lastOffset + 1;
    this.#highWatermark = this.#nextOffset;
  }

  /** The end of what is on disk. */
  get highWatermark(): number {
    return this.#highWatermark;
  }

  /**
   * Gives the batch its offsets and queues it. Synchronous up to the queue: the order of calls is the order of offsets.
   * @throws KafkaError when an idempotent producer's epoch or sequence does not fit.
   */
  append(batch: RecordBatch): Appended {
    const stored = batch.producerId < 0 ? undefined : this.producers.findDuplicate(batch);
    // The original may still be under way: this waits behind it and shares its fate.
    if (stored !== undefined) return { baseOffset: stored, durable: this.exclusive(async () => {}) };
    const baseOffset = this.#nextOffset;
    batch.assign(baseOffset);
    this.#nextOffset = baseOffset + batch.count;
    this.producers.record(batch, this.#highWatermark);
    return { baseOffset, durable: this.#commits.add(batch) };
  }

  /**
   * Runs `work` in its turn among the appends, with none under way: for what changes the list of segments. When it
   * fails, appends go on all the same.
   */
  exclusive(work: Work): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#commits.add(() => work().then(resolve, reject)).catch(reject);
    });
  }

  /** Begins a new segment, so that the one before it can be compacted or deleted. Only within `exclusive`. */
  async roll(): Promise<void> {
    if (this.segments.active.isEmpty) return;
    const baseOffset = this.segments.active.lastOffset + 1;
    const path = segmentPath(this.options.directory, baseOffset);
    this.segments.push(await Segment.create(this.options.disk, path, baseOffset));
  }

  /** Resolves when all that was accepted is stored or refused. */
  idle(): Promise<void> {
    return this.#commits.idle();
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
    this.onStored(active.size - sizeBefore);
  }

  async #undo(cause: unknown): Promise<KafkaError> {
    this.options.logger.error("append failed", { log: this.options.directory, error: messageOf(cause) });
    const error = new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, messageOf(cause));
    this.#nextOffset = this.#highWatermark;
    this.producers.undoFrom(this.#highWatermark);
    this.#commits.rejectWaiting(error);
    this.#tailIsTorn = true;
    // When this fails too, the next append tries again before it writes.
    await this.#repair().catch(() => {});
    return error;
  }

  async #repair(): Promise<void> {
    await this.segments.active.dropTail();
    this.#tailIsTorn = false;
  }
}
