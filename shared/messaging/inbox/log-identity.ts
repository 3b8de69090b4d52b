import type { Logger } from "../runtime.ts";
import { type Batch, type Progress, topicPartition } from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import { fingerprint, type Offsets } from "./offsets.ts";

/**
 * Sees to it that an offset is used only in the log that it was taken from. A topic that was deleted and made anew, or
 * a broker that lost its disk, begins again at 0: to go on at the old offset would skip messages. Then the offset is
 * forgotten, the log is read from its beginning, and the inbox drops what is read twice.
 *
 * A log is known by the last record that was handled: it is still where it was.
 */
export class LogRecognition {
  readonly #offsets: Offsets;
  readonly #unitOfWork: UnitOfWork;
  readonly #log: Logger;
  /** Partitions whose log has been recognised since they were assigned. */
  readonly #recognised = new Set<string>();

  constructor(options: { readonly offsets: Offsets; readonly unitOfWork: UnitOfWork; readonly log: Logger }) {
    this.#offsets = options.offsets;
    this.#unitOfWork = options.unitOfWork;
    this.#log = options.log;
  }

  /** Where to read a partition that has just been assigned: one record early, for the sake of that last one. */
  startAt(topic: string, partition: number): number | undefined {
    this.#recognised.delete(topicPartition(topic, partition));
    const position = this.#offsets.get(topic, partition);
    return position === undefined ? undefined : Math.max(0, position.next - 1);
  }

  /** @returns undefined when the batch is of the log that the offset was taken from, or else where to read in its place */
  async recognise(batch: Batch): Promise<Progress | undefined> {
    const { topic, partition } = batch;
    const name = topicPartition(topic, partition);
    if (this.#recognised.has(name)) return undefined;
    const position = this.#offsets.get(topic, partition);
    if (position !== undefined) {
      const { next, lastRecord } = position;
      const last = batch.records.find(({ offset }) => offset >= next - 1);
      // It begins further back and does not come to the record to compare: that one is asked for.
      if (last === undefined && batch.end >= next) return { next: next - 1 };
      if (batch.end < next || (last?.offset === next - 1 && fingerprint(last) !== lastRecord)) {
        return this.#beginAgain(batch, next);
      }
    }
    this.#recognised.add(name);
    return undefined;
  }

  async #beginAgain({ topic, partition, end }: Batch, next: number): Promise<Progress> {
    this.#log.warn(
      { topic, partition, next, end },
      "this log is not the one read before: reading it from the start",
    );
    await this.#unitOfWork.run(() => this.#offsets.forget(topic, partition));
    this.#recognised.add(topicPartition(topic, partition));
    return { next: 0 };
  }
}
