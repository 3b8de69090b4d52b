/**
 * The state of the idempotent producers of a partition, which identifies resent batches, and their transactions.
 * Source: KIP-98 ("Idempotent Producer Guarantees"); Apache Kafka's ProducerStateManager.
 *
 * Memory: about five batches for each producer that wrote within PRODUCER_EXPIRY_MS.
 */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { RecordBatch } from "./batch.ts";
import { COORDINATOR_EPOCH } from "./markers.ts";
import { LogTransactions, type TransactionsSummary } from "./transactions.ts";

/** A client has at most five requests in flight, so a resent batch is among the last five. */
const MAX_STORED_BATCHES = 5;
const PRODUCER_EXPIRY_MS = 24 * 60 * 60 * 1000;
const MAX_SEQUENCE = 0x7fffffff;

interface StoredBatch {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
}

interface Producer {
  epoch: number;
  seenAt: number;
  /** The largest timestamp of its last batch. */
  timestamp: number;
  /** Of the last transaction marker; -1 without one. */
  coordinatorEpoch: number;
  /** The required first sequence of the next batch; undefined when only a marker of the producer is known. */
  next?: number | undefined;
  /** Oldest first. */
  batches: StoredBatch[];
}

/** What a later process needs to go on without reading the batches. */
export interface ProducersSummary {
  readonly producers: readonly (readonly [producerId: number, producer: Producer])[];
  readonly transactions: TransactionsSummary;
}

/** As DescribeProducers answers. */
export interface ProducerDescription {
  readonly producerId: number;
  readonly epoch: number;
  readonly lastSequence: number;
  readonly lastTimestamp: number;
  readonly coordinatorEpoch: number;
  /** -1 without an open transaction. */
  readonly transactionStart: number;
}

const NO_SEQUENCE = -1;

export class ProducerStates {
  readonly transactions: LogTransactions;
  readonly #producers: Map<number, Producer>;

  /** @param stored the summary of an earlier process */
  constructor(stored?: ProducersSummary) {
    this.transactions = new LogTransactions(stored?.transactions);
    this.#producers = new Map(stored?.producers);
  }

  /** Complete when every recorded batch is on disk. */
  get summary(): ProducersSummary {
    return { producers: [...this.#producers], transactions: this.transactions.summary };
  }

  /**
   * Returns the offset of an already stored duplicate, or undefined when the batch is the next one in sequence.
   * @throws KafkaError INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE_NUMBER when it is neither, INVALID_TXN_STATE when
   * it is not transactional within a transaction.
   */
  findDuplicate(batch: RecordBatch): number | undefined {
    const duplicate = this.#findDuplicate(batch);
    if (duplicate === undefined && !batch.isTransactional && this.transactions.isOpen(batch.producerId)) {
      throw new KafkaError(ErrorCode.INVALID_TXN_STATE, "the producer has an open transaction");
    }
    return duplicate;
  }

  #findDuplicate(batch: RecordBatch): number | undefined {
    const producer = this.#producers.get(batch.producerId);
    // An unknown producer may start at any sequence: its state may have expired (KIP-360).
    if (!producer) return undefined;
    const { producerEpoch: epoch, baseSequence: first } = batch;
    if (epoch < producer.epoch) throw new KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH);
    if (epoch > producer.epoch) {
      if (first !== 0) throw outOfOrder(first, 0);
      return undefined;
    }
    const last = lastSequenceOf(batch);
    const stored = producer.batches.find(
      (known) => known.firstSequence === first && known.lastSequence === last,
    );
    if (stored) return stored.baseOffset;
    if (producer.next !== undefined && first !== producer.next) throw outOfOrder(first, producer.next);
    return undefined;
  }

  /**
   * Records an accepted batch.
   * @param durableEnd offsets below it are on disk. Later batches may be undone, so they do not displace durable ones.
   */
  record(batch: RecordBatch, durableEnd: number, now = Date.now()): void {
    if (batch.producerId < 0) return;
    this.transactions.record(batch, durableEnd);
    let producer = this.#producers.get(batch.producerId);
    if (!producer || producer.epoch !== batch.producerEpoch) {
      const coordinatorEpoch = producer?.coordinatorEpoch ?? -1;
      const { producerEpoch: epoch, maxTimestamp: timestamp } = batch;
      // Its batches before the marker may have been deleted: it goes on with its sequence.
      const next = producer ? 0 : undefined;
      producer = { epoch, seenAt: now, timestamp, coordinatorEpoch, next, batches: [] };
      this.#producers.set(batch.producerId, producer);
    }
    producer.seenAt = now;
    producer.timestamp = batch.maxTimestamp;
    if (batch.isControl) {
      producer.coordinatorEpoch = COORDINATOR_EPOCH;
      return;
    }
    const { baseOffset, lastOffset, baseSequence: firstSequence } = batch;
    const lastSequence = lastSequenceOf(batch);
    producer.next = lastSequence === MAX_SEQUENCE ? 0 : lastSequence + 1;
    producer.batches.push({ firstSequence, lastSequence, baseOffset, lastOffset });
    const durable = producer.batches.filter((stored) => stored.lastOffset < durableEnd).length;
    if (durable > MAX_STORED_BATCHES) producer.batches.splice(0, durable - MAX_STORED_BATCHES);
  }

  /** Removes the batches from `offset` on. They were not stored, so a resend is not a duplicate. */
  undoFrom(offset: number): void {
    this.transactions.undoFrom(offset);
    for (const producer of this.#producers.values()) {
      const undone = producer.batches.findIndex((batch) => batch.baseOffset >= offset);
      if (undone < 0) continue;
      producer.next = producer.batches[undone]?.firstSequence ?? producer.next;
      producer.batches.splice(undone);
    }
  }

  /** Whether this is the newest batch of its producer, whose header compaction keeps. */
  isNewest(batch: RecordBatch): boolean {
    return this.#producers.get(batch.producerId)?.batches.at(-1)?.lastOffset === batch.lastOffset;
  }

  expire(now = Date.now()): void {
    for (const [id, producer] of this.#producers) {
      const isUnused = now - producer.seenAt > PRODUCER_EXPIRY_MS && !this.transactions.isOpen(id);
      if (isUnused) this.#producers.delete(id);
    }
  }

  describe(): ProducerDescription[] {
    return [...this.#producers].map(([producerId, { epoch, timestamp, coordinatorEpoch, batches }]) => ({
      producerId,
      epoch,
      lastSequence: batches.at(-1)?.lastSequence ?? NO_SEQUENCE,
      lastTimestamp: timestamp,
      coordinatorEpoch,
      transactionStart: this.transactions.openFrom(producerId) ?? -1,
    }));
  }
}

function lastSequenceOf(batch: RecordBatch): number {
  const last = batch.baseSequence + batch.lastOffsetDelta;
  return last > MAX_SEQUENCE ? last - MAX_SEQUENCE - 1 : last;
}

function outOfOrder(got: number, expected: number): KafkaError {
  return new KafkaError(
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    `sequence ${got} received, ${expected} expected`,
  );
}
