import type { Topic } from "../contract/topic.ts";
import type { Runtime } from "../runtime.ts";
import { MemorySubscription, type Partition } from "./memory-subscription.ts";
import type {
  IncomingRecord,
  OutgoingRecord,
  Publisher,
  SubscribeOptions,
  Subscriber,
  Subscription,
} from "./transport.ts";

/** A broker in this process: the transport's promises and nothing else. Nothing survives the process. */
export class MemoryBroker implements Publisher, Subscriber {
  readonly #logs = new Map<string, IncomingRecord[][]>();
  readonly #groups = new Map<string, Set<MemorySubscription>>();
  readonly #runtime: Runtime;
  #roundRobin = 0;

  constructor(topics: readonly Topic[], runtime: Runtime) {
    this.#runtime = runtime;
    this.createTopics(topics);
  }

  /** Makes those of the topics that are missing. */
  createTopics(topics: readonly Topic[]): void {
    const missing = topics.filter((topic) => !this.#logs.has(topic.name));
    for (const { name, partitions } of missing) {
      this.#logs.set(
        name,
        Array.from({ length: partitions }, () => []),
      );
    }
    for (const group of this.#groups.values()) {
      const isConcerned = [...group].some(({ options }) =>
        missing.some(({ name }) => options.topics.includes(name)),
      );
      if (isConcerned) this.#assign(group);
    }
  }

  /** @throws when a topic does not exist; then none of the records is stored */
  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    for (const { topic } of records) if (!this.#logs.has(topic)) throw new Error(`no topic ${topic}`);
    for (const record of records) this.#append(record);
    for (const group of this.#groups.values()) for (const subscription of group) subscription.wake();
  }

  subscribe(options: SubscribeOptions): Subscription {
    const group = this.#groups.get(options.group) ?? new Set();
    this.#groups.set(options.group, group);
    const subscription = new MemorySubscription(options, {
      runtime: this.#runtime,
      log: (topic, partition) => this.log(topic, partition),
      leave: () => {
        group.delete(subscription);
        if (group.size === 0) this.#groups.delete(options.group);
        this.#assign(group);
      },
    });
    group.add(subscription);
    this.#assign(group);
    return subscription;
  }

  /** One partition, from the start. */
  log(topic: string, partition: number): readonly IncomingRecord[] {
    return this.#logs.get(topic)?.[partition] ?? [];
  }

  /** Every record of a topic, partition by partition. */
  records(topic: string): readonly IncomingRecord[] {
    return (this.#logs.get(topic) ?? []).flat();
  }

  /** Deals the partitions out among the members of a group: each goes to one of those that read its topic. */
  #assign(group: ReadonlySet<MemorySubscription>): void {
    const shares = new Map<MemorySubscription, Partition[]>([...group].map((member) => [member, []]));
    const topics = new Set([...group].flatMap((member) => member.options.topics));
    for (const topic of topics) {
      const readers = [...group].filter((member) => member.options.topics.includes(topic));
      for (const partition of (this.#logs.get(topic) ?? []).keys()) {
        const reader = readers[partition % readers.length];
        if (reader !== undefined) shares.get(reader)?.push({ topic, partition });
      }
    }
    for (const [member, partitions] of shares) member.assign(partitions);
  }

  #append({ topic, key, value, headers }: OutgoingRecord): void {
    const partitions = this.#logs.get(topic) ?? [];
    const hash = key === null ? this.#roundRobin++ : Number(Bun.hash.xxHash32(key));
    const partition = hash % partitions.length;
    const log = partitions[partition];
    log?.push({
      topic,
      partition,
      offset: log.length,
      key,
      // Copies: what the sender does with its own afterwards does not change the log.
      value: value === null ? null : Buffer.from(value),
      headers: { ...headers },
    });
  }
}
