import type { IncomingRecord, OutgoingRecord, Topic } from "@distributed-messaging/messaging";
import { POISON_HEADER } from "./poison.ts";

interface StoredRecord extends IncomingRecord {
  /** Virtual time. */
  readonly storedMs: number;
}

/** One partition, on the broker's disk: it survives everything, unless the topic is made anew. */
export class PartitionLog {
  readonly topic: string;
  readonly partition: number;
  /** Rising offsets, with gaps where the log was compacted. */
  records: StoredRecord[] = [];
  /** One past the last offset. */
  end = 0;

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  append({ key, value, headers }: OutgoingRecord, storedMs: number): void {
    const { topic, partition, end: offset } = this;
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    this.records.push({ topic, partition, offset, key, value: bytes, headers, storedMs });
    this.end += 1;
  }

  /** Up to `limit` records from an offset on. */
  from(offset: number, limit: number): readonly IncomingRecord[] {
    const index = this.#indexOf(offset);
    return this.records.slice(index, index + limit);
  }

  /**
   * Keeps the last record of each key, and all that are not old enough
   * (https://kafka.apache.org/documentation/#compaction). A real one would also drop what a service wrote in favour of
   * poison under the same key; nothing can make up for that, and docs/messaging.md says so. Here both are kept.
   *
   * @returns how many it has dropped
   */
  compact(beforeMs: number): number {
    const old = this.records.filter(({ storedMs, key }) => storedMs < beforeMs && key !== null);
    const genuine = old.filter(({ headers }) => !(POISON_HEADER in headers));
    const kept = new Set([old, genuine].flatMap((records) => [...lastOfEachKey(records).values()]));
    const dropped = new Set(old.filter((record) => !kept.has(record)));
    this.records = this.records.filter((record) => !dropped.has(record));
    return dropped.size;
  }

  /** As after the topic was deleted and made anew. */
  clear(): void {
    this.records = [];
    this.end = 0;
  }

  #indexOf(offset: number): number {
    let least = 0;
    let most = this.records.length;
    while (least < most) {
      const middle = (least + most) >> 1;
      if ((this.records[middle]?.offset ?? offset) < offset) least = middle + 1;
      else most = middle;
    }
    return least;
  }
}

function lastOfEachKey(records: readonly StoredRecord[]): ReadonlyMap<string | null, StoredRecord> {
  return new Map(records.map((record) => [record.key, record]));
}

/** All topics of a broker. */
export class BrokerLog {
  readonly topics: readonly Topic[];
  readonly #partitions: ReadonlyMap<string, readonly PartitionLog[]>;

  constructor(topics: readonly Topic[]) {
    this.topics = topics;
    this.#partitions = new Map(
      topics.map(({ name, partitions }) => [
        name,
        Array.from({ length: partitions }, (_, partition) => new PartitionLog(name, partition)),
      ]),
    );
  }

  /** @throws when there is no such topic */
  partitionsOf(topic: string): readonly PartitionLog[] {
    const partitions = this.#partitions.get(topic);
    if (partitions === undefined) throw new Error(`there is no topic ${topic}`);
    return partitions;
  }

  /** Where a record goes: by its key, so that all of one key are in one partition. */
  partitionFor({ topic, key }: OutgoingRecord): PartitionLog {
    const partitions = this.partitionsOf(topic);
    const partition = partitions[key === null ? 0 : Bun.hash.xxHash32(key) % partitions.length];
    if (partition === undefined) throw new Error(`topic ${topic} has no partitions`);
    return partition;
  }

  all(): PartitionLog[] {
    return [...this.#partitions.values()].flat();
  }
}
