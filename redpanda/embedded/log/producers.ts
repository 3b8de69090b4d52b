/**
 * The state of the idempotent producers of a partition, which identifies resent batches.
 * Source: KIP-98 ("Idempotent Producer Guarantees"); Apache Kafka's ProducerStateManager.
 *
 * Memory: about five batches for each producer that wrote within PRODUCER_EXPIRY_MS.
 */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { RecordBatch } from "./batch.ts";

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
  /** The required first sequence of the next batch. */
  next: number;
  /** Oldest first. */
  batches: StoredBatch[];
}

/** A producer id with its state, as it is stored. */
export type ProducerEntry = readonly [producerId: number, producer: Producer];

export class ProducerStates {
  readonly #producers: Map<number, Producer>;
  #hasTransactions = false;

  /** @param stored the entries of an earlier process */
  constructor(stored: readonly ProducerEntry[] = []) {
    this.#producers = new Map(stored);
  }

  /** What a later process needs to go on; undefined when it has to read the batches, because some are of transactions. */
  get entries(): ProducerEntry[] | undefined {
    return this.#hasTransactions ? undefined : [...this.#producers];
  }

  /**
   * Returns the offset of an already stored duplicate, or undefined when the batch is the next one in sequence.
   * @throws KafkaError INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE_NUMBER when it is neither.
   */
  findDuplicate(batch: RecordBatch): number | undefined {
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
    if (first !== producer.next) throw outOfOrder(first, producer.next);
    return undefined;
  }

  /**
   * Records an accepted batch.
   * @param durableEnd offsets below it are on disk. Later batches may be undone, so they do not displace durable ones.
   */
  record(batch: RecordBatch, durableEnd: number, now = Date.now()): void {
    if (batch.producerId < 0) return;
    if (batch.isTransactional) this.#hasTransactions = true;
    let producer = this.#producers.get(batch.producerId);
    if (!producer || producer.epoch !== batch.producerEpoch) {
      producer = { epoch: batch.producerEpoch, seenAt: now, next: 0, batches: [] };
      this.#producers.set(batch.producerId, producer);
    }
    producer.seenAt = now;
    const { baseOffset, lastOffset, baseSequence: firstSequence } = batch;
    const lastSequence = lastSequenceOf(batch);
    producer.next = lastSequence === MAX_SEQUENCE ? 0 : lastSequence + 1;
    producer.batches.push({ firstSequence, lastSequence, baseOffset, lastOffset });
    const durable = producer.batches.filter((stored) => stored.lastOffset < durableEnd).length;
    if (durable > MAX_STORED_BATCHES) producer.batches.splice(0, durable - MAX_STORED_BATCHES);
  }

  /** Removes the batches from `offset` on. They were not stored, so a resend is not a duplicate. */
  undoFrom(offset: number): void {
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
      if (now - producer.seenAt > PRODUCER_EXPIRY_MS) this.#producers.delete(id);
    }
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
