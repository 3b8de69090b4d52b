/**
 * What a partition remembers of idempotent producers, so that a batch sent again is recognised and stored once.
 * Source: KIP-98 ("Idempotent Producer Guarantees"); the rules are those of Apache Kafka's ProducerStateManager.
 *
 * Memory: about five batches for each producer that wrote within PRODUCER_EXPIRY_MS.
 */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { RecordBatch } from "./batch.ts";

/** A client has at most five requests in flight, so a resent batch is among the last five. */
const REMEMBERED = 5;
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
  /** The sequence that the next batch has to begin with. */
  next: number;
  /** Oldest first. */
  batches: StoredBatch[];
}

export class ProducerStates {
  readonly #producers = new Map<number, Producer>();

  /**
   * Returns the offset at which this very batch is stored already, or undefined when it is the next one.
   * @throws KafkaError INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE_NUMBER when it is neither.
   */
  findDuplicate(batch: RecordBatch): number | undefined {
    const producer = this.#producers.get(batch.producerId);
    // Unknown producers begin anywhere: their state may have expired while their sequence went on (KIP-360).
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
   * Remembers an accepted batch.
   * @param durableEnd offsets below it are on disk; batches above it may yet be undone and do not count as remembered.
   */
  record(batch: RecordBatch, durableEnd: number, now = Date.now()): void {
    if (batch.producerId < 0) return;
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
    if (durable > REMEMBERED) producer.batches.splice(0, durable - REMEMBERED);
  }

  /** Forgets the batches from `offset` on: they were never stored, so sending them again is no duplicate. */
  undoFrom(offset: number): void {
    for (const producer of this.#producers.values()) {
      const undone = producer.batches.findIndex((batch) => batch.baseOffset >= offset);
      if (undone < 0) continue;
      producer.next = producer.batches[undone]?.firstSequence ?? producer.next;
      producer.batches.splice(undone);
    }
  }

  /** Whether this is the newest batch of its producer: compaction keeps its header, which holds the sequence. */
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
    `sequence ${got} came, ${expected} was expected`,
  );
}
