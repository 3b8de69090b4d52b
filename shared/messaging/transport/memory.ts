import type { Topic } from "../contract/define.ts";
import type { Runtime } from "../runtime.ts";
import {
  type Batch,
  type FollowOptions,
  type IncomingRecord,
  type OutgoingRecord,
  PublishError,
  type PublishFailure,
  type SubscribeOptions,
  type Subscription,
  type Transport,
  type UndecodableBatch,
} from "./transport.ts";

/** Records in one batch. */
const BATCH = 100;
/** After `handle` rejected, or `startAt` threw. */
const RETRY_AFTER_MS = 1_000;

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

/** A broker in this process that keeps the transport's promises. Its records end with the process. */
export class MemoryBroker implements Transport {
  readonly #logs = new Map<string, MemoryLog[]>();
  readonly #groups = new Map<string, Set<MemorySubscription>>();
  readonly #runtime: Runtime;
  readonly #followers = new Set<() => void>();
  #roundRobin = 0;

  constructor(topics: readonly Topic[], runtime: Runtime) {
    this.#runtime = runtime;
    this.createTopics(topics);
  }

  /** Creates those of the topics that are missing. */
  createTopics(topics: readonly Topic[]): void {
    const missing = topics.filter((topic) => !this.#logs.has(topic.name));
    for (const { name, partitions } of missing) {
      this.#logs.set(
        name,
        Array.from({ length: partitions }, () => new MemoryLog()),
      );
    }
    for (const group of this.#groups.values()) {
      const subscribed = new Set([...group].flatMap(({ options }) => options.topics));
      if (missing.some(({ name }) => subscribed.has(name))) this.#assign(group);
    }
  }

  hasTopic(name: string): boolean {
    return this.#logs.has(name);
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    const failures = new Map<OutgoingRecord, PublishFailure>();
    for (const record of records) {
      const { topic } = record;
      if (this.#logs.has(topic)) this.#append(record);
      else failures.set(record, { scope: "topic", error: `there is no topic ${topic}` });
    }
    for (const group of this.#groups.values()) for (const subscription of group) subscription.wake();
    for (const wake of this.#followers) wake();
    if (failures.size > 0) throw new PublishError(failures);
  }

  subscribe(options: SubscribeOptions): Subscription {
    const group = this.#groups.get(options.group) ?? new Set();
    this.#groups.set(options.group, group);
    const subscription = new MemorySubscription(options, this, this.#runtime, () => {
      group.delete(subscription);
      if (group.size === 0) this.#groups.delete(options.group);
      this.#assign(group);
    });
    group.add(subscription);
    this.#assign(group);
    return subscription;
  }

  follow({ topic, from = 0, deliver, caughtUp }: FollowOptions): Subscription {
    let next = from;
    const read = () => {
      if (!this.#followers.has(wake)) return;
      const log = this.partition(topic, 0);
      if (next > log.end) next = 0;
      const records = log.records.filter(({ offset }) => offset >= next);
      next = log.end;
      for (const record of records) deliver(record);
      caughtUp(next);
    };
    const wake = () => this.#runtime.soon(read);
    this.#followers.add(wake);
    wake();
    return {
      healthy: () => this.#followers.has(wake),
      stop: async () => void this.#followers.delete(wake),
    };
  }

  async trim(topic: string, before: number): Promise<void> {
    const log = this.partition(topic, 0);
    if (before > log.start) log.trim(Math.min(before, log.end));
  }

  /** One partition, from the start. */
  log(topic: string, partition: number): readonly IncomingRecord[] {
    return this.partition(topic, partition).records;
  }

  /** @throws when it does not exist */
  partition(topic: string, partition: number): MemoryLog {
    const log = this.#logs.get(topic)?.[partition];
    if (log === undefined) throw new Error(`no partition ${topic}/${partition}`);
    return log;
  }

  /** Every record of a topic, partition by partition. */
  records(topic: string): readonly IncomingRecord[] {
    return (this.#logs.get(topic) ?? []).flatMap(({ records }) => records);
  }

  /** Assigns each partition to one of the members that subscribed to its topic. */
  #assign(group: ReadonlySet<MemorySubscription>): void {
    const assignments = new Map<MemorySubscription, Partition[]>([...group].map((member) => [member, []]));
    const topics = new Set([...group].flatMap((member) => member.options.topics));
    for (const topic of topics) {
      const members = [...group].filter((member) => member.options.topics.includes(topic));
      for (const partition of (this.#logs.get(topic) ?? []).keys()) {
        const member = members[partition % members.length];
        if (member !== undefined) assignments.get(member)?.push({ topic, partition });
      }
    }
    for (const [member, partitions] of assignments) member.assign(partitions);
  }

  #append({ topic, key, value, headers }: OutgoingRecord): void {
    const partitions = this.#logs.get(topic) ?? [];
    const hash = key === null ? this.#roundRobin++ : Number(Bun.hash.xxHash32(key));
    const partition = hash % partitions.length;
    const log = partitions[partition];
    log?.append({
      topic,
      partition,
      offset: log.end,
      timestampMs: this.#runtime.now(),
      key,
      // Copies: the sender may change its own afterwards.
      value: value === null ? null : Buffer.from(value),
      headers: { ...headers },
    });
  }
}

/** The log of one partition. */
export class MemoryLog {
  /** In the order of their offsets. */
  records: readonly IncomingRecord[] = [];
  /** The first offset that the log has. */
  start = 0;
  /** One past the last offset. */
  end = 0;
  #epoch = 0;
  readonly #epochs = new Map<number, number>();
  readonly #undecodable = new Map<number, UndecodableBatch>();

  append(record: IncomingRecord): void {
    // Appending in place: readers take slices.
    (this.records as IncomingRecord[]).push(record);
    if (this.#epoch > 0) this.#epochs.set(record.offset, this.#epoch);
    this.end = record.offset + 1;
  }

  /** Appends records that no reader can decode, as another client could. */
  appendUndecodable(bytes: Uint8Array, count: number, cause: string): void {
    const lastOffset = this.end + count - 1;
    this.#undecodable.set(this.end, { offset: this.end, lastOffset, bytes, cause });
    this.end += count;
  }

  /** Removes what is before an offset, as retention does. */
  trim(start: number): void {
    this.start = start;
    this.records = this.records.filter(({ offset }) => offset >= start);
  }

  /** Loses what is from an offset on, as a broker does whose new leader lacks it. */
  truncate(end: number): void {
    this.end = end;
    this.records = this.records.filter(({ offset }) => offset < end);
    for (const offset of this.#undecodable.keys()) if (offset >= end) this.#undecodable.delete(offset);
    this.#epoch += 1;
  }

  /** Up to `limit` records from an offset on, and what follows them if that is undecodable. */
  read(from: number, limit: number): Omit<Batch, "topic" | "partition"> {
    const undecodable = [...this.#undecodable.values()].find(
      ({ offset, lastOffset }) => lastOffset >= from && offset < this.end && lastOffset >= this.start,
    );
    const before = undecodable?.offset ?? this.end;
    const index = this.records.findIndex(({ offset }) => offset >= from);
    const rest = index === -1 ? [] : this.records.slice(index, index + limit);
    const records = rest.filter(({ offset }) => offset < before);
    const isNext = undecodable !== undefined && records.length < limit;
    return {
      records,
      ...(isNext ? { undecodable } : {}),
      start: this.start,
      end: this.end,
      epoch: this.#epochs.get(records[0]?.offset ?? from) ?? 0,
    };
  }
}

/** The position in one partition, for the time of one assignment. */
interface Reader extends Partition {
  next: number;
  busy: boolean;
  paused: boolean;
  active: boolean;
}

/** One member of a consumer group. */
class MemorySubscription implements Subscription {
  readonly options: SubscribeOptions;
  readonly #broker: MemoryBroker;
  readonly #runtime: Runtime;
  readonly #leave: () => void;
  readonly #handling = new Set<Promise<void>>();
  readonly #timers = new Set<() => void>();
  #readers: readonly Reader[] = [];
  #generation = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: SubscribeOptions, broker: MemoryBroker, runtime: Runtime, leave: () => void) {
    this.options = options;
    this.#broker = broker;
    this.#runtime = runtime;
    this.#leave = leave;
  }

  healthy(): boolean {
    return this.#stopped === undefined;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  assign(partitions: readonly Partition[]): void {
    this.#revoke();
    this.#generation += 1;
    const generation = this.#generation;
    // Batches of the previous assignment are handled to the end before `startAt` is called.
    Promise.all(this.#handling).then(() => {
      if (generation === this.#generation && this.#stopped === undefined) this.#start(partitions);
    });
  }

  /** Delivers what is new. */
  wake(): void {
    for (const reader of this.#readers) this.#deliver(reader);
  }

  async #stop(): Promise<void> {
    this.#revoke();
    await Promise.all(this.#handling);
    this.#leave();
  }

  #revoke(): void {
    for (const reader of this.#readers) reader.active = false;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #start(partitions: readonly Partition[]): void {
    try {
      this.#readers = partitions.map(({ topic, partition }) => {
        const start = this.options.startAt(topic, partition) ?? 0;
        const isOtherLog =
          this.options.rereadsLast === true && start >= this.#broker.partition(topic, partition).end;
        const next = isOtherLog ? 0 : start;
        return { topic, partition, next, busy: false, paused: false, active: true };
      });
    } catch {
      // A disk that fails, perhaps. The whole assignment is repeated.
      this.#readers = [];
      this.#after(RETRY_AFTER_MS, () => this.assign(partitions));
      return;
    }
    this.wake();
  }

  #deliver(reader: Reader): void {
    if (reader.busy || reader.paused || !reader.active) return;
    const log = this.#broker.partition(reader.topic, reader.partition);
    if (reader.next === log.end) {
      this.options.caughtUp?.(reader.topic, reader.partition);
      return;
    }
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

  async #handleNext(reader: Reader, log: MemoryLog): Promise<void> {
    const { topic, partition } = reader;
    try {
      if (!reader.active) return;
      if (reader.next > log.end) reader.next = this.options.startAt(topic, partition) ?? 0;
      if (reader.next > log.end) reader.next = log.start;
      const batch = log.read(reader.next, BATCH);
      if (batch.records.length === 0 && batch.undecodable === undefined && reader.next >= log.start) {
        reader.next = log.end;
        return;
      }
      const { next, pauseMs } = await this.options.handle({ topic, partition, ...batch });
      reader.next = next;
      if (pauseMs !== undefined) this.#pause(reader, pauseMs);
    } catch {
      this.#pause(reader, RETRY_AFTER_MS);
    } finally {
      reader.busy = false;
    }
  }

  #pause(reader: Reader, pauseMs: number): void {
    if (!reader.active || pauseMs <= 0) return;
    reader.paused = true;
    this.#after(pauseMs, () => {
      reader.paused = false;
      this.#deliver(reader);
    });
  }

  #after(delayMs: number, callback: () => void): void {
    const cancel = this.#runtime.after(delayMs, () => {
      this.#timers.delete(cancel);
      callback();
    });
    this.#timers.add(cancel);
  }
}
