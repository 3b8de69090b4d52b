import { type Batch, topicPartition } from "../transport/transport.ts";

/** How far a consumer is behind, by topic. */
export interface TopicLag {
  /** Offsets from the next record to handle to the end of the log, of all partitions together. */
  readonly records: number;
  /** The age of the oldest record that has not been handled, in seconds; 0 when there is none. */
  readonly seconds: number;
}

interface PartitionLag {
  readonly topic: string;
  /** One past the last record that has been handled. */
  next: number;
  /** Undefined until something was fetched. */
  records: number | undefined;
  /** When the oldest record that has not been handled was written, in milliseconds since the epoch. */
  oldestAt: number;
  /** Whether everything in it had been handled at some time. */
  hasCaughtUp: boolean;
}

/**
 * How far a consumer is behind: the end of each log, as it was fetched last, against the offset in SQLite. It asks no
 * broker, so what is known stays while none answers.
 *
 * Of records that compaction removed, or that belong to aborted transactions, nobody can say before they were fetched
 * whether they are there: they count until they are passed, and the end of what can be read is lag 0, whatever
 * the log has there.
 */
export class Lag {
  readonly #partitions = new Map<string, PartitionLag>();

  /** @param next the offset in SQLite */
  assigned(topic: string, partition: number, next: number): void {
    const known = this.#partitions.get(topicPartition(topic, partition));
    if (known !== undefined) known.next = next;
    else
      this.#partitions.set(topicPartition(topic, partition), {
        ...{ topic, next, records: undefined, oldestAt: 0, hasCaughtUp: false },
      });
  }

  /** A batch was fetched; nothing of it has been handled yet. */
  fetched(batch: Batch, now: number): void {
    const known = this.#partitions.get(topicPartition(batch.topic, batch.partition));
    if (known !== undefined) this.#follow(known, batch, known.next, now);
  }

  /** A batch was handled up to an offset. */
  handled(batch: Batch, next: number, now: number): void {
    const known = this.#partitions.get(topicPartition(batch.topic, batch.partition));
    if (known !== undefined) this.#follow(known, batch, next, now);
  }

  /** There is nothing more to read in a partition. */
  caughtUp(topic: string, partition: number): void {
    const known = this.#partitions.get(topicPartition(topic, partition));
    if (known === undefined) return;
    known.records = 0;
    known.hasCaughtUp = true;
  }

  /** Whether everything in each partition had been handled at some time; not before one was assigned. */
  hasCaughtUp(): boolean {
    return this.#partitions.size > 0 && [...this.#partitions.values()].every((one) => one.hasCaughtUp);
  }

  /** Of the topics of which something was fetched. */
  byTopic(now: number): Map<string, TopicLag> {
    const topics = new Map<string, TopicLag>();
    for (const { topic, records, oldestAt } of this.#partitions.values()) {
      if (records === undefined) continue;
      const { records: others, seconds } = topics.get(topic) ?? { records: 0, seconds: 0 };
      const age = records === 0 ? 0 : Math.max(0, now - oldestAt) / 1000;
      topics.set(topic, { records: others + records, seconds: Math.max(seconds, age) });
    }
    return topics;
  }

  #follow(known: PartitionLag, { records, start, end }: Batch, next: number, now: number): void {
    const first = records.find(({ offset }) => offset >= next);
    const wasBehind = (known.records ?? 0) > 0;
    known.next = next;
    known.records = Math.max(0, end - (first?.offset ?? Math.max(next, start)));
    if (known.records === 0) known.hasCaughtUp = true;
    // Of what was not fetched yet, only that it is no older than what was read last.
    known.oldestAt = (first ?? records.at(-1))?.timestampMs ?? (wasBehind ? known.oldestAt : now);
  }
}
