import { type Admin, Partitioners } from "kafkajs";
import type { Topic } from "../../contract/topic.ts";
import type { Logger } from "../../runtime.ts";
import type { OutgoingRecord } from "../transport.ts";
import { KafkaAdmin } from "./admin.ts";
import type { KafkaSettings } from "./client.ts";
import { KafkaPublisher } from "./publisher.ts";
import { KafkaReader, type StoredRecord } from "./reader.ts";

export type { StoredRecord } from "./reader.ts";

export interface PartitionState {
  readonly partition: number;
  readonly earliest: number;
  /** One past the last record. */
  readonly latest: number;
}

export interface TopicState {
  readonly name: string;
  readonly partitions: readonly PartitionState[];
  /** How many records each group that reads the topic has still to read. */
  readonly groups: readonly { readonly group: string; readonly lag: number }[];
}

/** How far back in a partition the records of a key are looked for. */
const SEARCH_DEPTH = 20_000;

/**
 * Looks into a cluster for people: how far topics and groups are, what stands in a topic, which records a key has.
 * It reads what others wrote; `publish` is there to write it once more. Everything it does has a bound.
 */
export class KafkaInspector {
  readonly #topics: readonly Topic[];
  readonly #groups: readonly string[];
  readonly #admin: KafkaAdmin;
  readonly #reader: KafkaReader;
  readonly #publisher: KafkaPublisher;

  /** @param groups the consumer groups whose lag is of interest */
  constructor(settings: KafkaSettings, topics: readonly Topic[], groups: readonly string[], log: Logger) {
    this.#topics = topics;
    this.#groups = groups;
    this.#admin = new KafkaAdmin(settings, log);
    const names = topics.map(({ name }) => name);
    this.#reader = new KafkaReader(settings, names, log);
    this.#publisher = new KafkaPublisher(settings, topics, log);
  }

  /** Every topic with its offsets, and how far behind each group is. @throws when the broker does not answer */
  topics(): Promise<TopicState[]> {
    return this.#admin.ask(async (admin) => {
      const names = this.#topics.map(({ name }) => name);
      const [partitions, ...committed] = await Promise.all([
        Promise.all(names.map((name) => partitionsOf(admin, name))),
        ...this.#groups.map((groupId) => admin.fetchOffsets({ groupId, topics: names })),
      ]);
      return names.map((name, index) => {
        const states = partitions[index] ?? [];
        const groups = this.#groups.flatMap((group, at) => {
          const offsets = committed[at]?.find(({ topic }) => topic === name)?.partitions ?? [];
          const lag = lagOf(states, offsets);
          return lag === undefined ? [] : [{ group, lag }];
        });
        return { name, partitions: states, groups };
      });
    });
  }

  /** The last records of a topic, newest first. @throws when the broker does not answer */
  async latest(topic: string, count: number): Promise<StoredRecord[]> {
    const partitions = await this.#admin.ask((admin) => partitionsOf(admin, topic));
    const records = await this.#reader.read(
      partitions.map(({ partition, earliest, latest }) => ({
        topic,
        partition,
        from: Math.max(earliest, latest - count),
        to: latest,
      })),
    );
    return records.sort((one, other) => other.at - one.at || other.offset - one.offset).slice(0, count);
  }

  /**
   * The records of a key in some topics, among the last SEARCH_DEPTH of its partition in each, in the order in which
   * they were written.
   *
   * @throws when the broker does not answer
   */
  async ofKey(key: string, topics: readonly string[]): Promise<StoredRecord[]> {
    const partitions = await this.#admin.ask((admin) =>
      Promise.all(topics.map(async (topic) => ({ topic, partitions: await partitionsOf(admin, topic) }))),
    );
    const records = await this.#reader.read(
      partitions.flatMap(({ topic, partitions }) => {
        const home = partitions.find(
          ({ partition }) => partition === partitionOf(topic, key, partitions.length),
        );
        if (home === undefined) return [];
        const { partition, earliest, latest } = home;
        return [{ topic, partition, from: Math.max(earliest, latest - SEARCH_DEPTH), to: latest }];
      }),
    );
    return records
      .filter((record) => record.key === key)
      .sort((one, other) => one.at - other.at || one.offset - other.offset);
  }

  /** Resolves when the broker has the records, once or twice. @throws when it has not, or when nobody knows */
  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    try {
      await this.#publisher.publish(records);
    } catch {
      // The publisher begins anew after a failure, which the end of the broker before may have been.
      await this.#publisher.publish(records);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#publisher.close(), this.#admin.close()]);
  }
}

async function partitionsOf(admin: Admin, topic: string): Promise<PartitionState[]> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets
    .map(({ partition, low, high }) => ({ partition, earliest: Number(low), latest: Number(high) }))
    .sort((one, other) => one.partition - other.partition);
}

/** What a group has still to read; undefined when it has never read anything of the topic. */
function lagOf(
  states: readonly PartitionState[],
  committed: readonly { readonly partition: number; readonly offset: string }[],
): number | undefined {
  const known = new Map(committed.map(({ partition, offset }) => [partition, Number(offset)]));
  if (![...known.values()].some((offset) => offset >= 0)) return undefined;
  return states.reduce((sum, { partition, earliest, latest }) => {
    const offset = Math.max(known.get(partition) ?? earliest, earliest);
    return sum + Math.max(0, latest - offset);
  }, 0);
}

const partitioner = Partitioners.DefaultPartitioner();

/** Where the records of a key are: computed as every producer of the kit does. */
function partitionOf(topic: string, key: string, partitions: number): number {
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionId,
    partitionErrorCode: 0,
    leader: 0,
    replicas: [],
    isr: [],
  }));
  return partitioner({ topic, partitionMetadata, message: { key, value: null } });
}
