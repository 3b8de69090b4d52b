/**
 * The transactions in the log of a partition: which are open, and which were aborted. Built from the batches, in order.
 * Source: KIP-98 ("Last Stable Offset", "Aborted Transaction Index"); Apache Kafka's ProducerStateManager, TransactionIndex.
 *
 * Memory: four numbers for each aborted transaction whose marker is in the log.
 */
import type { RecordBatch } from "./batch.ts";
import { outcomeOf } from "./markers.ts";

interface LoggedTransaction {
  readonly producerId: number;
  /** Of its first record in this partition. */
  readonly firstOffset: number;
  /** Null while it is open. */
  marker: { readonly offset: number; readonly isAbort: boolean } | null;
}

export interface AbortedTransaction {
  readonly producerId: number;
  readonly firstOffset: number;
  /** Of its marker. */
  readonly lastOffset: number;
  /** The last stable offset after it ended. Later entries begin at or after it. */
  readonly stableOffset: number;
}

/** What a later process needs to go on without reading the batches. */
export interface TransactionsSummary {
  readonly undecided: readonly LoggedTransaction[];
  readonly aborted: readonly AbortedTransaction[];
}

export class LogTransactions {
  /** In the order of the first offsets: open, or with a marker that may not be on disk yet. */
  #undecided: LoggedTransaction[];
  /** In the order of the markers. */
  #aborted: AbortedTransaction[];

  /** @param stored the summary of an earlier process */
  constructor({ undecided, aborted }: TransactionsSummary = { undecided: [], aborted: [] }) {
    this.#undecided = [...undecided];
    this.#aborted = [...aborted];
  }

  get summary(): TransactionsSummary {
    return { undecided: this.#undecided, aborted: this.#aborted };
  }

  isOpen(producerId: number): boolean {
    return this.#open(producerId) !== undefined;
  }

  /** The first offset of the open transaction of the producer. */
  openFrom(producerId: number): number | undefined {
    return this.#open(producerId)?.firstOffset;
  }

  /** Records an appended batch. @param durableEnd offsets below it are on disk; later ones may be undone. */
  record(batch: RecordBatch, durableEnd: number): void {
    if (!batch.isTransactional) return;
    const open = this.#open(batch.producerId);
    if (batch.isControl) {
      const outcome = outcomeOf(batch);
      if (open && outcome) open.marker = { offset: batch.lastOffset, isAbort: outcome === "abort" };
    } else if (!open && batch.count > 0) {
      // A batch that compaction emptied begins no transaction: its marker may be gone.
      const { producerId, baseOffset: firstOffset } = batch;
      this.#undecided.push({ producerId, firstOffset, marker: null });
    }
    this.#settle(durableEnd);
  }

  /** Forgets the batches from `offset` on, which were not stored. None of them is on disk. */
  undoFrom(offset: number): void {
    this.#undecided = this.#undecided.filter(({ firstOffset }) => firstOffset < offset);
    for (const transaction of this.#undecided) {
      if (transaction.marker && transaction.marker.offset >= offset) transaction.marker = null;
    }
  }

  /** Where the first transaction without a marker on disk begins. @param durableEnd offsets below it are on disk */
  firstUnstable(durableEnd: number): number | undefined {
    this.#settle(durableEnd);
    return this.#undecided[0]?.firstOffset;
  }

  /** The aborted transactions with records or the marker between `from` and `to - 1`. */
  aborted(from: number, to: number): AbortedTransaction[] {
    const found: AbortedTransaction[] = [];
    for (let index = this.#firstAborted(from); index < this.#aborted.length; index++) {
      const transaction = this.#aborted[index];
      if (!transaction) break;
      if (transaction.firstOffset < to) found.push(transaction);
      if (transaction.stableOffset >= to) break;
    }
    return found;
  }

  /** Removes aborted transactions whose markers compaction removed. */
  forget(markers: ReadonlySet<number>): void {
    if (markers.size > 0) this.#aborted = this.#aborted.filter(({ lastOffset }) => !markers.has(lastOffset));
  }

  /** Removes aborted transactions that ended below the start of the log. */
  truncate(startOffset: number): void {
    this.#aborted.splice(0, this.#firstAborted(startOffset));
  }

  #open(producerId: number): LoggedTransaction | undefined {
    return this.#undecided.find((one) => one.producerId === producerId && one.marker === null);
  }

  /** Moves the transactions whose markers are on disk. */
  #settle(durableEnd: number): void {
    const isDecided = ({ marker }: LoggedTransaction) => marker !== null && marker.offset < durableEnd;
    if (!this.#undecided.some(isDecided)) return;
    const before = this.#undecided;
    this.#undecided = before.filter((transaction) => !isDecided(transaction));
    for (const { producerId, firstOffset, marker } of before) {
      if (!marker?.isAbort || marker.offset >= durableEnd) continue;
      const lastOffset = marker.offset;
      const laterOnes = before.filter((other) => (other.marker?.offset ?? durableEnd) > lastOffset);
      const stableOffset = Math.min(lastOffset + 1, ...laterOnes.map((other) => other.firstOffset));
      this.#aborted.push({ producerId, firstOffset, lastOffset, stableOffset });
    }
    this.#aborted.sort((a, b) => a.lastOffset - b.lastOffset);
  }

  /** The index of the first aborted transaction that ended at or after `offset`. */
  #firstAborted(offset: number): number {
    let low = 0;
    let high = this.#aborted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#aborted[middle]?.lastOffset ?? offset) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
