import type { ServiceDatabase } from "../database.ts";
import type { Logger } from "../runtime.ts";
import { type Batch, type IncomingRecord, type Progress, topicPartition } from "../transport/transport.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";

export interface Position {
  /** The offset of the first record that has not been handled. */
  readonly next: number;
  /** The fingerprint of what is before it; null where that was removed from the log and an operator acknowledged it. */
  readonly lastRecord: string | null;
}

/**
 * How far each partition has been handled, written with the effects, so that the two cannot disagree. The offsets that
 * are committed to the broker are never read back.
 */
export class Offsets {
  readonly #any;
  readonly #get;
  readonly #set;
  readonly #delete;
  readonly #keepCount;

  constructor({ sql }: ServiceDatabase) {
    this.#any = sql.prepare<{ topic: string }, []>("SELECT topic FROM consumer_offsets LIMIT 1");
    this.#get = sql.prepare<Position, [string, number]>(
      "SELECT next_offset AS next, last_record AS lastRecord FROM consumer_offsets WHERE topic = ? AND partition = ?",
    );
    this.#set = sql.prepare(
      `INSERT INTO consumer_offsets (topic, partition, next_offset, last_record, batches) VALUES (?, ?, ?, ?, 1)
       ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, last_record = excluded.last_record,
         batches = batches + 1`,
    );
    this.#keepCount = sql.prepare(
      `UPDATE ownership SET handled = handled +
         coalesce((SELECT batches FROM consumer_offsets WHERE topic = ? AND partition = ?), 0)`,
    );
    this.#delete = sql.prepare("DELETE FROM consumer_offsets WHERE topic = ? AND partition = ?");
  }

  /** Whether nothing was ever handled. */
  isEmpty(): boolean {
    return this.#any.get() === null;
  }

  get(topic: string, partition: number): Position | undefined {
    return this.#get.get(topic, partition) ?? undefined;
  }

  /** Records that everything up to and including `record` has been handled. */
  set(record: IncomingRecord): void {
    this.#set.run(record.topic, record.partition, record.offset + 1, fingerprint(record));
  }

  /**
   * Records that everything before `next` is left out.
   *
   * @param bytes of the undecodable batch that is before it; null where the log has nothing before it any more
   */
  skipTo(topic: string, partition: number, next: number, bytes: Uint8Array | null): void {
    this.#set.run(topic, partition, next, bytes === null ? null : fingerprintOfBytes(bytes, next));
  }

  /** The partition is read from the beginning of its log again. */
  delete(topic: string, partition: number): void {
    this.#keepCount.run(topic, partition);
    this.#delete.run(topic, partition);
  }

  close(): void {
    for (const statement of [this.#any, this.#get, this.#set, this.#delete, this.#keepCount])
      statement.finalize();
  }
}

/** Distinguishes records, copies of one record too: each was sent at another time. Not cryptographic. */
export function fingerprint({ offset, timestampMs, value }: IncomingRecord): string {
  return `${Bun.hash.xxHash64(value ?? new Uint8Array(), BigInt(offset)).toString(16)}@${timestampMs}`;
}

/** Distinguishes undecodable batches from each other and from records. */
export function fingerprintOfBytes(bytes: Uint8Array, next: number): string {
  return `undecodable ${Bun.hash.xxHash64(bytes, BigInt(next)).toString(16)}`;
}

/** The fingerprint of what a batch has at an offset; undefined if it has nothing there. */
function fingerprintAt({ records, undecodable }: Batch, offset: number): string | undefined {
  const record = records.find((candidate) => candidate.offset === offset);
  if (record !== undefined) return fingerprint(record);
  if (undecodable === undefined || offset < undecodable.offset || offset > undecodable.lastOffset)
    return undefined;
  return fingerprintOfBytes(undecodable.bytes, undecodable.lastOffset + 1);
}

/**
 * Checks that an offset is used only in the log that it belongs to. The log of a topic that was deleted and created
 * again, or of a broker that lost its disk, starts at 0; one that lost its end has other records at the same offsets.
 * At the old offset messages would be skipped. The log is the same if the last record that was handled is still where
 * it was, or, where retention had removed that, if the log still begins after it. If not, the offset is deleted and the
 * log is read from its beginning; the inbox removes what is read twice.
 *
 * The check is made when a partition is assigned, and when records are of another leader epoch than those before:
 * only then can they have replaced others.
 */
export class LogIdentity {
  readonly #offsets: Offsets;
  readonly #unitOfWork: UnitOfWork;
  readonly #log: Logger;
  /** The leader epoch of the records up to which each partition has been checked since it was assigned. */
  readonly #checked = new Map<string, number>();
  /** The leader epoch because of which each partition is read again before its offset. */
  readonly #checking = new Map<string, number>();
  readonly #onNewLog: (topic: string, partition: number, end: number, transaction: Transaction) => void;

  /** @param options.onNewLog called in the transaction that deletes the offset, with the end of the new log */
  constructor(options: {
    readonly offsets: Offsets;
    readonly unitOfWork: UnitOfWork;
    readonly log: Logger;
    onNewLog(topic: string, partition: number, end: number, transaction: Transaction): void;
  }) {
    this.#offsets = options.offsets;
    this.#unitOfWork = options.unitOfWork;
    this.#log = options.log;
    this.#onNewLog = options.onNewLog;
  }

  /** Where to begin a partition that has just been assigned: at the last record that was handled, to compare it. */
  startAt(topic: string, partition: number): number | undefined {
    this.#checked.delete(topicPartition(topic, partition));
    this.#checking.delete(topicPartition(topic, partition));
    const position = this.#offsets.get(topic, partition);
    return position === undefined ? undefined : Math.max(0, position.next - 1);
  }

  /** @returns undefined when the batch is of the log that the offset belongs to, else where to read instead */
  async check(batch: Batch): Promise<Progress | undefined> {
    const { topic, partition, epoch } = batch;
    const name = topicPartition(topic, partition);
    const position = this.#offsets.get(topic, partition);
    if (this.#checked.get(name) === epoch && (position === undefined || batch.end >= position.next)) {
      return undefined;
    }
    if (position !== undefined) {
      const { next, lastRecord } = position;
      const { records, undecodable } = batch;
      const first = records[0]?.offset ?? undecodable?.offset ?? batch.end;
      const last = undecodable?.lastOffset ?? records.at(-1)?.offset ?? batch.end;
      // The batch ends before the record to compare, or begins after it where the log may still have it.
      const isBefore = last < next - 1 && batch.end >= next;
      const isAfter = first >= next && this.#checked.has(name) && lastRecord !== null && batch.start < next;
      this.#checked.delete(name);
      if (isAfter) this.#checking.set(name, epoch);
      if (isBefore || isAfter) return { next: next - 1 };
      // Where retention had removed what is before the offset, the log cannot begin before it any more. A fingerprint of
      // version 0.1 lacks the time.
      const differs =
        lastRecord === null
          ? batch.start < next
          : fingerprintAt(batch, next - 1)?.startsWith(lastRecord) === false;
      if (batch.end < next || differs) {
        this.#log.warn(
          { topic, partition, next, end: batch.end },
          "a new log: it is read from its beginning",
        );
        await this.#unitOfWork.run((transaction) => {
          this.#offsets.delete(topic, partition);
          this.#onNewLog(topic, partition, batch.end, transaction);
        });
        this.#pass(name, epoch);
        return { next: 0 };
      }
    }
    this.#pass(name, epoch);
    return undefined;
  }

  /** What is before the offset was there after the epoch began because of which it was read again. */
  #pass(name: string, epoch: number): void {
    this.#checked.set(name, Math.max(epoch, this.#checking.get(name) ?? 0));
    this.#checking.delete(name);
  }
}
