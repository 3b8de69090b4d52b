import type { Topic } from "@distributed-messaging/contracts";
import type { Runtime } from "./runtime.ts";
import type {
  IncomingRecord,
  OutgoingRecord,
  Publisher,
  SubscribeOptions,
  Subscriber,
  Subscription,
} from "./transport.ts";

/** Records in one delivery. */
const BATCH = 100;

/** A broker in this process: the transport's promises and nothing else. Nothing survives the process. */
export class MemoryBroker implements Publisher, Subscriber {
  readonly #logs = new Map<string, IncomingRecord[][]>();
  readonly #groups = new Map<string, Set<MemorySubscription>>();
  readonly #runtime: Runtime;
  #roundRobin = 0;

  constructor(topics: readonly Topic[], runtime: Runtime) {
    this.#runtime = runtime;
    for (const topic of topics) {
      this.#logs.set(
        topic.name,
        Array.from({ length: topic.partitions }, () => []),
      );
    }
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    for (const record of records)
      if (!this.#logs.has(record.topic)) throw new Error(`no topic ${record.topic}`);
    for (const record of records) this.#append(record);
    for (const group of this.#groups.values()) for (const subscription of group) subscription.wake();
  }

  subscribe(options: SubscribeOptions): Subscription {
    const group = this.#groups.get(options.group) ?? new Set();
    this.#groups.set(options.group, group);
    const subscription = new MemorySubscription(this, this.#runtime, options, () => {
      group.delete(subscription);
      this.#assign(group);
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

  /** Deals the partitions out among the members of a group. */
  #assign(group: ReadonlySet<MemorySubscription>): void {
    const members = [...group];
    for (const [index, member] of members.entries()) {
      const assigned = member.options.topics.flatMap((topic) =>
        (this.#logs.get(topic) ?? []).map((_, partition) => ({ topic, partition })),
      );
      member.assign(assigned.filter((_, position) => position % members.length === index));
    }
  }

  #append(record: OutgoingRecord): void {
    const partitions = this.#logs.get(record.topic) ?? [];
    const hash = record.key === null ? this.#roundRobin++ : Number(Bun.hash.xxHash32(record.key));
    const partition = hash % partitions.length;
    const log = partitions[partition] ?? [];
    log.push({
      topic: record.topic,
      partition,
      offset: log.length,
      key: record.key,
      value: typeof record.value === "string" ? Buffer.from(record.value) : record.value,
      headers: record.headers,
    });
  }
}

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

/** Where one partition's reader stands. */
class Reader {
  next: number;
  busy = false;
  paused = false;
  active = true;

  constructor(next: number) {
    this.next = next;
  }
}

class MemorySubscription implements Subscription {
  readonly options: SubscribeOptions;
  readonly #broker: MemoryBroker;
  readonly #runtime: Runtime;
  readonly #leave: () => void;
  readonly #handling = new Set<Promise<void>>();
  #readers = new Map<string, Reader & Partition>();
  #generation = 0;
  #stopped = false;

  constructor(broker: MemoryBroker, runtime: Runtime, options: SubscribeOptions, leave: () => void) {
    this.#broker = broker;
    this.#runtime = runtime;
    this.options = options;
    this.#leave = leave;
  }

  healthy(): boolean {
    return !this.#stopped;
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const reader of this.#readers.values()) reader.active = false;
    await Promise.all(this.#handling);
    this.#leave();
  }

  assign(partitions: readonly Partition[]): void {
    for (const reader of this.#readers.values()) reader.active = false;
    const before = [...this.#handling];
    this.#readers = new Map();
    this.#generation += 1;
    const generation = this.#generation;
    // What is being handled under the old assignment is finished before the positions are asked for.
    Promise.all(before).then(() => {
      if (this.#stopped || generation !== this.#generation) return;
      for (const { topic, partition } of partitions) {
        const start = this.options.startAt(topic, partition) ?? 0;
        const end = this.#broker.log(topic, partition).length;
        const reader = Object.assign(new Reader(start > end ? 0 : start), { topic, partition });
        this.#readers.set(`${topic}/${partition}`, reader);
      }
      this.wake();
    });
  }

  wake(): void {
    for (const reader of this.#readers.values()) this.#deliver(reader);
  }

  #deliver(reader: Reader & Partition): void {
    if (reader.busy || reader.paused || !reader.active) return;
    const log = this.#broker.log(reader.topic, reader.partition);
    if (reader.next >= log.length) return;
    reader.busy = true;
    const work = new Promise<void>((resolve) => {
      this.#runtime.soon(() => this.#handleNext(reader, log).then(resolve));
    });
    this.#handling.add(work);
    work.finally(() => {
      this.#handling.delete(work);
      this.#deliver(reader);
    });
  }

  async #handleNext(reader: Reader & Partition, log: readonly IncomingRecord[]): Promise<void> {
    const { topic, partition } = reader;
    try {
      if (!reader.active) return;
      const records = log.slice(reader.next, reader.next + BATCH);
      const progress = await this.options.handle({ topic, partition, records, end: log.length });
      reader.next = progress.next;
      if (progress.pauseMs !== undefined) this.#pause(reader, progress.pauseMs);
    } catch {
      this.#pause(reader, 1_000);
    } finally {
      reader.busy = false;
    }
  }

  #pause(reader: Reader & Partition, pauseMs: number): void {
    reader.paused = true;
    this.#runtime.after(pauseMs, () => {
      reader.paused = false;
      this.#deliver(reader);
    });
  }
}
