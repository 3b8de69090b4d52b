import {
  type Batch,
  type FollowOptions,
  type IncomingRecord,
  type OutgoingRecord,
  type Progress,
  PublishError,
  type Publisher,
  type PublishFailure,
  type SubscribeOptions,
  type Subscriber,
  type Subscription,
  type Transport,
  type UndecodableBatch,
} from "@distributed-messaging/messaging";
import type { Faults } from "./faults.ts";
import type { Prng } from "./prng.ts";
import type { Incarnation, Scheduler, Trace } from "./scheduler.ts";

/** A client gives up waiting for an acknowledgement after this time. */
const PUBLISH_TIMEOUT_MS = 3_000;
/** A request that its client has given up on reaches the broker within this time, or never. */
export const MAX_REQUEST_DELAY_MS = 8_000;
/** Mean of the network latency that is added to the least. */
const LATENCY_MS = 2;
const LEAST_LATENCY_MS = 0.2;
/** Records in one batch, at most. */
const MAX_BATCH = 40;
const MAX_SHORT_BATCH = 3;
/** How far back a redelivery starts, at most. */
const MAX_REDELIVERED = 30;
/** A rejected batch is delivered again after this time. */
const REJECTED_PAUSE_MS = 500;
/** The most by which the fault `deliveryLate` delays a delivery. */
const MAX_DELIVERY_DELAY_MS = 4_000;
/** Mean duration of the fault `topicRefused`: sometimes longer than a relay waits. */
const TOPIC_REFUSED_MS = 25_000;
/** How often a request to delete records arrives late. */
const LATE_TRIM = 0.2;
/** Mean duration of a rebalance. */
const REBALANCE_MS = 50;

/** The log of one partition. It survives everything but the deletion of its topic. */
export class PartitionLog {
  readonly topic: string;
  readonly partition: number;
  /** In the order of their offsets, which have gaps where the log was compacted. */
  records: IncomingRecord[] = [];
  /** What no reader can decode, in the order of its offsets. */
  undecodable: UndecodableBatch[] = [];
  /** The first offset that the log has: retention moves it forward. */
  start = 0;
  /** One past the last offset. */
  end = 0;
  /** Hashes of the values that were appended, and the records that repeat one. */
  readonly #values = new Set<bigint | number>();
  readonly #copies = new WeakSet<IncomingRecord>();
  /** The first offset of each leader epoch. There is another one after records were lost. */
  readonly #epochs = [0];

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  /** @param timestampMs virtual time */
  append({ key, value, headers }: OutgoingRecord, timestampMs: number): void {
    const { topic, partition, end: offset } = this;
    const bytes = value === null ? null : Buffer.from(value);
    const content = { key, value: bytes, headers: { ...headers } };
    const record = { topic, partition, offset, timestampMs, ...content };
    const hash = bytes === null ? undefined : Bun.hash(bytes);
    if (hash !== undefined && this.#values.has(hash)) this.#copies.add(record);
    if (hash !== undefined) this.#values.add(hash);
    this.records.push(record);
    this.end += 1;
  }

  /** Appends records that no reader can decode, as another client may. */
  appendUndecodable(count: number, bytes: Uint8Array): UndecodableBatch {
    const appended = { offset: this.end, lastOffset: this.end + count - 1, bytes, cause: "unknown codec" };
    this.undecodable.push(appended);
    this.end += count;
    return appended;
  }

  /** Removes what is before an offset, as retention does. @returns the removed records */
  trim(start: number): IncomingRecord[] {
    const removed = this.records.filter(({ offset }) => offset < start);
    this.start = start;
    this.records = this.records.slice(removed.length);
    this.undecodable = this.undecodable.filter(({ lastOffset }) => lastOffset >= start);
    return removed;
  }

  /** Loses the last records and what is after them, as when a leader that did not have them takes over. */
  truncate(records: number): void {
    const lost = this.records.at(-records) ?? this.records[0];
    const isKept = ({ offset }: { readonly offset: number }) => offset < (lost?.offset ?? this.end);
    this.records = this.records.filter(isKept);
    this.undecodable = this.undecodable.filter(isKept);
    const last = Math.max(this.records.at(-1)?.offset ?? -1, this.undecodable.at(-1)?.lastOffset ?? -1);
    this.end = Math.max(this.start, last + 1);
    for (const [epoch, offset] of this.#epochs.entries()) this.#epochs[epoch] = Math.min(offset, this.end);
    this.#epochs.push(this.end);
  }

  /** The leader epoch in which a record was appended. */
  epochAt(offset: number): number {
    return this.#epochs.findLastIndex((first) => first <= offset);
  }

  /** Up to `limit` records from an offset on, and what follows them if it is undecodable. */
  read(from: number, limit: number): Pick<Batch, "records" | "undecodable"> {
    const first = this.#indexFrom(from);
    const undecodable = this.undecodable.find(({ lastOffset }) => lastOffset >= from);
    const before = undecodable === undefined ? this.records.length : this.#indexFrom(undecodable.offset);
    const records = this.records.slice(first, Math.min(before, first + limit));
    const isNext = undecodable !== undefined && first + records.length >= before;
    return isNext ? { records, undecodable } : { records };
  }

  /** The index of the first record from an offset on. */
  #indexFrom(offset: number): number {
    let least = 0;
    let most = this.records.length;
    while (least < most) {
      const middle = (least + most) >> 1;
      if ((this.records[middle]?.offset ?? offset) < offset) least = middle + 1;
      else most = middle;
    }
    return least;
  }

  /**
   * Drops the records stored before `beforeMs` that a later one of the same key, also stored before then, supersedes
   * (https://kafka.apache.org/documentation/#compaction). Records that `ignored` matches, and copies, supersede no others.
   *
   * @returns how many were dropped
   */
  compact(beforeMs: number, ignored: (record: IncomingRecord) => boolean): number {
    const old = this.records.filter(({ timestampMs, key }) => timestampMs < beforeMs && key !== null);
    const lastOfEachKey = (records: readonly IncomingRecord[]) =>
      new Map(records.map((record) => [record.key, record])).values();
    const superseding = old.filter((record) => !ignored(record) && !this.#copies.has(record));
    const kept = new Set([...lastOfEachKey(old), ...lastOfEachKey(superseding)]);
    const dropped = new Set(old.filter((record) => !kept.has(record)));
    this.records = this.records.filter((record) => !dropped.has(record));
    return dropped.size;
  }
}

/** Equal for copies of one record only: values have ids. */
function contentOf({ topic, value }: OutgoingRecord): string {
  return `${topic} ${value === null ? "" : Buffer.from(value).toString()}`;
}

interface BrokerOptions {
  readonly scheduler: Scheduler;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
  violation(text: string): void;
}

/**
 * A broker and the network to it, in virtual time. It keeps the promises of `transport.ts`, which the conformance suite
 * checks, and its faults break whatever is not promised there.
 */
export class SimulatedBroker {
  readonly options: BrokerOptions;
  up = true;
  /** Requests and deliveries that are under way. */
  inFlight = 0;
  readonly #topics = new Map<string, PartitionLog[]>();
  readonly #groups = new Map<string, ConsumerGroup>();
  readonly #followers = new Set<SimulatedFollower>();
  /** Values of the records that are refused for as long as faults are enabled. */
  readonly #refusedRecords = new Set<string>();
  /** `max.message.bytes` of the topics that have it. */
  readonly #maxBytes = new Map<string, number>();
  /** Until when topics are refused, in virtual time. */
  readonly #refusedTopics = new Map<string, number>();
  /** The values of the records that each client knows to be stored. */
  readonly #acknowledged = new WeakMap<Incarnation, Set<string>>();

  constructor(options: BrokerOptions) {
    this.options = options;
  }

  /** Creates the topics and partitions that are missing. */
  createTopics(
    topics: readonly {
      readonly name: string;
      readonly partitions: number;
      readonly config?: Readonly<Record<string, string>>;
    }[],
  ): void {
    for (const { name, partitions, config } of topics) {
      const maxBytes = config?.["max.message.bytes"];
      if (maxBytes !== undefined) this.#maxBytes.set(name, Number(maxBytes));
      const logs = this.#topics.get(name) ?? [];
      if (logs.length >= partitions) continue;
      while (logs.length < partitions) logs.push(new PartitionLog(name, logs.length));
      this.#topics.set(name, logs);
      this.#rebalanceReadersOf(name);
    }
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name);
    this.#rebalanceReadersOf(name);
  }

  /** The log of a partition loses its last records. */
  truncate(log: PartitionLog, records: number): void {
    this.options.trace.note("broker", `${log.topic}/${log.partition} loses its last ${records} records`);
    log.truncate(records);
    this.#rebalanceReadersOf(log.topic);
  }

  /** None if the topic does not exist. */
  partitionsOf(topic: string): readonly PartitionLog[] {
    return this.#topics.get(topic) ?? [];
  }

  connect(client: Incarnation): Publisher & Subscriber & Required<Pick<Transport, "follow" | "trim">> {
    return {
      trim: (topic, before) => this.#trimFor(client, topic, before),
      follow: (options) => {
        const follower = new SimulatedFollower(this, client, options);
        this.#followers.add(follower);
        return follower;
      },
      publish: (records) => new Promise((resolve, reject) => this.#publish(client, records, resolve, reject)),
      subscribe: (options) => this.#subscribe(client, options),
    };
  }

  /** Closes the connections of a process that has ended. */
  disconnect(client: Incarnation): void {
    for (const group of this.#groups.values()) {
      for (const member of group.members) if (member.client === client) member.leave();
    }
    for (const follower of this.#followers) if (follower.client === client) this.#followers.delete(follower);
  }

  /** The group coordinator has not heard of a client for long: its partitions go to others, until it joins again. */
  expireSessions(client: Incarnation): void {
    for (const group of this.#groups.values()) {
      for (const member of group.members) if (member.client === client) member.expire();
    }
  }

  shutDown(): void {
    this.up = false;
    this.options.trace.note("broker", "down");
    for (const group of this.#groups.values()) group.revoke();
  }

  startUp(): void {
    this.up = true;
    this.options.trace.note("broker", "up");
    for (const group of this.#groups.values()) group.rebalance();
  }

  rebalance(group: string): void {
    this.#groups.get(group)?.rebalance();
  }

  /** Stores records at once, without a client. @throws if a topic does not exist */
  store(records: readonly OutgoingRecord[]): void {
    const changed = new Set<PartitionLog>();
    for (const record of records) {
      const log = this.#partitionFor(record);
      log.append(record, this.options.scheduler.nowMs);
      changed.add(log);
    }
    for (const log of changed) this.#wakeReadersOf(log);
  }

  /** Stores records that no reader can decode. */
  storeUndecodable(log: PartitionLog, count: number, bytes: Uint8Array): UndecodableBatch {
    const appended = log.appendUndecodable(count, bytes);
    const { offset, lastOffset } = appended;
    const name = `${log.topic}/${log.partition}`;
    this.options.trace.note(
      "broker",
      `${name} gets records from ${offset} to ${lastOffset} that are undecodable`,
    );
    this.#wakeReadersOf(log);
    return appended;
  }

  /** Retention removes what is before an offset. @returns the removed records */
  trim(log: PartitionLog, start: number): IncomingRecord[] {
    this.options.trace.note("broker", `${log.topic}/${log.partition} loses what is before ${start}`);
    const removed = log.trim(start);
    this.#wakeReadersOf(log);
    return removed;
  }

  /** Milliseconds: mostly few, sometimes many. */
  latencyMs(): number {
    return LEAST_LATENCY_MS + this.options.prng.exponential(LATENCY_MS);
  }

  /** Calls `arrive` at the other end of the connection after a delay, unless the client that it is for has ended. */
  send(delayMs: number, arrive: () => void, client?: Incarnation): void {
    this.inFlight += 1;
    this.options.scheduler.after(delayMs, () => {
      this.inFlight -= 1;
      if (client !== undefined && client.pausedUntilMs > this.options.scheduler.nowMs) {
        this.options.scheduler.after(0, arrive, client);
      } else if (client?.alive !== false) arrive();
    });
  }

  /** What a client asks for may arrive late, and its answer never. */
  #trimFor(client: Incarnation, topic: string, before: number): Promise<void> {
    const { faults, prng } = this.options;
    const isLate = faults.enabled && prng.chance(LATE_TRIM);
    return new Promise((resolve, reject) => {
      this.send(this.latencyMs() + (isLate ? prng.float() * MAX_REQUEST_DELAY_MS : 0), () => {
        const [log] = this.partitionsOf(topic);
        const isRefused = !this.up || log === undefined || before > log.end;
        if (!isRefused && before > log.start) this.trim(log, before);
        const settle = isRefused || isLate ? () => reject(new Error("records are not deleted")) : resolve;
        this.send(this.latencyMs(), settle, client);
      });
    });
  }

  #partitionFor({ topic, key }: OutgoingRecord): PartitionLog {
    const logs = this.partitionsOf(topic);
    const log = logs[key === null ? 0 : Bun.hash.xxHash32(key) % logs.length];
    if (log === undefined) throw new Error(`topic ${topic} does not exist`);
    return log;
  }

  #wakeReadersOf(log: PartitionLog): void {
    for (const { members } of this.#groups.values()) for (const member of members) member.wake(log);
    for (const follower of this.#followers) if (follower.options.topic === log.topic) follower.wake();
  }

  #rebalanceReadersOf(topic: string): void {
    for (const group of this.#groups.values()) {
      if ([...group.members].some(({ options }) => options.topics.includes(topic))) group.rebalance();
    }
  }

  #subscribe(client: Incarnation, options: SubscribeOptions): Subscription {
    const group = this.#groups.get(options.group) ?? new ConsumerGroup(this);
    this.#groups.set(options.group, group);
    const member = new SimulatedSubscription(this, group, client, options);
    // Code of a process that has ended may still subscribe.
    if (client.alive) {
      group.members.add(member);
      group.rebalance();
    }
    return member;
  }

  #publish(
    client: Incarnation,
    records: readonly OutgoingRecord[],
    resolve: () => void,
    reject: (error: Error) => void,
  ): void {
    const { faults, prng, trace } = this.options;
    if (!client.alive) return;
    this.#assertNotSentAgain(client, records);
    if (faults.occurs("crashBeforeSend")) {
      client.crash("before a publish");
      return;
    }
    const fail = (reason: string, afterMs: number) =>
      this.send(
        afterMs,
        () => {
          trace.note(client.process, `publish of ${records.length} records failed: ${reason}`);
          reject(new Error(reason));
        },
        client,
      );
    if (!this.up) fail("the broker is down", prng.between(1, 300));
    else if (faults.occurs("publishStoredLate")) {
      fail("request timed out", PUBLISH_TIMEOUT_MS);
      this.#storeLate(client, this.#accepted(records, this.#refusals(records)));
    } else {
      this.send(this.latencyMs(), () => {
        const failures = this.#refusals(records);
        const accepted = this.#accepted(records, failures);
        if (!this.up || faults.occurs("publishRefused")) fail("refused by the broker", this.latencyMs());
        else if (faults.occurs("publishPartlyStored")) {
          this.store(this.#startOfEachPartition(accepted));
          fail("stored only in part", this.latencyMs());
        } else {
          const settle = () => {
            const known = this.#acknowledged.getOrInsertComputed(client, () => new Set());
            for (const record of accepted) known.add(contentOf(record));
            if (failures.size === 0) resolve();
            else reject(new PublishError(failures));
          };
          this.#storeAndAcknowledge(client, accepted, settle, fail);
        }
      });
    }
  }

  /** Which records are refused, and with them the others of the same partition; sometimes one or a topic more. */
  #refusals(records: readonly OutgoingRecord[]): Map<OutgoingRecord, PublishFailure> {
    const { faults, prng, scheduler, trace } = this.options;
    const some = records.length === 0 ? undefined : prng.pick(records);
    if (some !== undefined && faults.occurs("recordRefused")) {
      trace.note("broker", `refuses a record of ${some.topic} ${some.key}`);
      this.#refusedRecords.add(contentOf(some));
    }
    if (some !== undefined && faults.occurs("topicRefused")) {
      trace.note("broker", `refuses ${some.topic}`);
      this.#refusedTopics.set(some.topic, scheduler.nowMs + prng.exponential(TOPIC_REFUSED_MS));
    }
    const failures = new Map<OutgoingRecord, PublishFailure>();
    for (const [topic, ofTopic] of Map.groupBy(records, (record) => record.topic)) {
      const isRefused = faults.enabled && (this.#refusedTopics.get(topic) ?? 0) > scheduler.nowMs;
      if (isRefused || this.partitionsOf(topic).length === 0) {
        for (const record of ofTopic) failures.set(record, { scope: "topic", error: `no topic ${topic}` });
        continue;
      }
      for (const batch of Map.groupBy(ofTopic, (record) => this.#partitionFor(record)).values()) {
        const isRefused = faults.enabled && batch.some((one) => this.#refusedRecords.has(contentOf(one)));
        const bytes = batch.reduce((sum, one) => sum + contentOf(one).length, 0);
        if (!isRefused && bytes <= (this.#maxBytes.get(topic) ?? Number.POSITIVE_INFINITY)) continue;
        for (const record of batch) failures.set(record, { scope: "record", error: "the record is refused" });
      }
    }
    return failures;
  }

  #accepted(
    records: readonly OutgoingRecord[],
    failures: ReadonlyMap<OutgoingRecord, PublishFailure>,
  ): OutgoingRecord[] {
    return records.filter((record) => !failures.has(record));
  }

  /** What a client knows to be stored, it must not send again. Copies of dead letters may be equal, and an owner repeats its claim. */
  #assertNotSentAgain(client: Incarnation, records: readonly OutgoingRecord[]): void {
    const known = this.#acknowledged.get(client);
    const again = records.find(
      (record) =>
        known?.has(contentOf(record)) === true && !/\.(dead-letters|changes|owner)$/.test(record.topic),
    );
    if (again === undefined) return;
    const { topic, key } = again;
    this.options.violation(
      `${client.process} sends a record of ${topic} ${key} again, which was acknowledged`,
    );
  }

  #storeAndAcknowledge(
    client: Incarnation,
    records: readonly OutgoingRecord[],
    resolve: () => void,
    fail: (reason: string, afterMs: number) => void,
  ): void {
    const { faults, scheduler, trace } = this.options;
    trace.note("broker", `stores ${records.length} records of ${client.process}`);
    this.store(records);
    if (faults.occurs("publishStoredTwice")) this.#storeLate(client, records);
    if (faults.occurs("crashBeforeAcknowledgement"))
      client.crash("between a publish and its acknowledgement");
    else if (faults.occurs("acknowledgementLost")) fail("request timed out", PUBLISH_TIMEOUT_MS);
    else {
      const acknowledge = () => {
        // Scheduled before anything that the acknowledgement causes, so that it happens first.
        if (faults.occurs("crashAfterAcknowledgement")) {
          scheduler.after(0, () => client.crash("after an acknowledgement"), client);
        }
        resolve();
      };
      this.send(this.latencyMs(), acknowledge, client);
    }
  }

  /** Stores the records of a request after its client has given up. */
  #storeLate(client: Incarnation, records: readonly OutgoingRecord[]): void {
    const { prng, trace } = this.options;
    this.send(prng.float() * MAX_REQUEST_DELAY_MS, () => {
      if (!this.up) return;
      trace.note("broker", `stores ${records.length} records of ${client.process} late`);
      this.store(records);
    });
  }

  /** The first few records of each partition: those of one partition are stored in order. */
  #startOfEachPartition(records: readonly OutgoingRecord[]): OutgoingRecord[] {
    const byPartition = Map.groupBy(records, (record) => this.#partitionFor(record));
    return [...byPartition.values()].flatMap((of) => of.slice(0, this.options.prng.between(0, of.length)));
  }
}

/** How long a fetch waits for records. */
const FETCH_WAIT_MS = 1_000;

/** Reads a topic of one partition, in no group. */
class SimulatedFollower implements Subscription {
  readonly client: Incarnation;
  readonly options: FollowOptions;
  readonly #broker: SimulatedBroker;
  #next: number;
  #answeredMs = Number.NEGATIVE_INFINITY;
  #fetching = false;
  #stopped = false;
  #cancelWait: () => void = () => {};

  constructor(broker: SimulatedBroker, client: Incarnation, options: FollowOptions) {
    this.#broker = broker;
    this.client = client;
    this.options = options;
    this.#next = options.from ?? 0;
    this.wake();
  }

  healthy(): boolean {
    return !this.#stopped && this.#broker.options.scheduler.nowMs - this.#answeredMs < 3 * FETCH_WAIT_MS;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelWait();
  }

  /** Fetches, unless a fetch is under way. */
  wake(): void {
    if (this.#fetching || this.#stopped) return;
    this.#fetching = true;
    this.#cancelWait();
    this.#broker.send(this.#broker.latencyMs(), () => this.#answer(), this.client);
  }

  #answer(): void {
    const { scheduler, prng, faults } = this.#broker.options;
    this.#fetching = false;
    if (this.#stopped || !this.client.alive) return;
    const [log] = this.#broker.partitionsOf(this.options.topic);
    this.#cancelWait = scheduler.after(FETCH_WAIT_MS, () => this.wake(), this.client);
    if (!this.#broker.up || log === undefined) {
      this.options.failed?.(new Error("the broker is down"));
      return;
    }
    this.#answeredMs = scheduler.nowMs;
    if (this.#next > log.end) this.#next = 0;
    const limit = faults.occurs("shortBatch") ? prng.between(1, MAX_SHORT_BATCH) : MAX_BATCH;
    // All of them, as a real one does: also those after one whose delivery stopped it.
    for (const record of log.read(this.#next, limit).records) {
      if (!this.client.alive) return;
      this.#next = record.offset + 1;
      this.options.deliver(record);
    }
    if (this.#stopped) return;
    if (this.#next < log.end) this.wake();
    else {
      this.#next = log.end;
      this.options.caughtUp(log.end);
    }
  }
}

/** A consumer group: the partitions of the topics that its members read are distributed among them. */
class ConsumerGroup {
  readonly members = new Set<SimulatedSubscription>();
  readonly #broker: SimulatedBroker;
  #generation = 0;
  /** A rebalance waits for handlers that run. */
  #rebalancing = false;

  constructor(broker: SimulatedBroker) {
    this.#broker = broker;
  }

  /** Takes all partitions away. Handlers that run may finish. */
  revoke(): void {
    this.#generation += 1;
    this.#rebalancing = false;
    for (const member of this.members) member.revoke();
  }

  /** Takes all partitions away and distributes them anew once no handler runs. */
  rebalance(): void {
    this.revoke();
    const generation = this.#generation;
    const { scheduler, prng } = this.#broker.options;
    scheduler.after(prng.exponential(REBALANCE_MS), () => {
      if (generation !== this.#generation || !this.#broker.up) return;
      this.#rebalancing = true;
      this.assignWhenIdle();
    });
  }

  assignWhenIdle(): void {
    if (!this.#rebalancing || [...this.members].some(({ idle }) => !idle)) return;
    this.#rebalancing = false;
    const members = [...this.members].filter(({ stopped }) => !stopped);
    const shares = new Map(members.map((member) => [member, [] as PartitionLog[]]));
    for (const topic of new Set(members.flatMap(({ options }) => options.topics))) {
      const readers = members.filter(({ options }) => options.topics.includes(topic));
      for (const log of this.#broker.partitionsOf(topic)) {
        const reader = readers[log.partition % readers.length];
        if (reader !== undefined) shares.get(reader)?.push(log);
      }
    }
    for (const [member, logs] of shares) member.assign(logs);
  }
}

/** What a subscription reads of one partition, for as long as the partition is assigned to it. */
interface Reader {
  readonly log: PartitionLog;
  next: number;
  /** A delivery is under way or a handler runs. */
  busy: boolean;
  paused: boolean;
  active: boolean;
}

/** Whether there are records to deliver, or all that were left are gone. */
function hasNews({ log, next }: Reader): boolean {
  return next < log.end || next < log.start;
}

/** One member of a consumer group. It leaves when it is stopped, its process ends, or its session expires. */
class SimulatedSubscription implements Subscription {
  readonly client: Incarnation;
  readonly options: SubscribeOptions;
  readonly #broker: SimulatedBroker;
  readonly #group: ConsumerGroup;
  readonly #readers = new Map<PartitionLog, Reader>();
  /** Handlers that run. */
  #handling = 0;
  readonly #whenIdle: (() => void)[] = [];
  stopped = false;

  constructor(broker: SimulatedBroker, group: ConsumerGroup, client: Incarnation, options: SubscribeOptions) {
    this.#broker = broker;
    this.#group = group;
    this.client = client;
    this.options = options;
  }

  /** No handler runs. */
  get idle(): boolean {
    return this.#handling === 0;
  }

  healthy(): boolean {
    return !this.stopped && this.#broker.up;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.revoke();
    if (!this.idle) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    this.leave();
  }

  leave(): void {
    this.stopped = true;
    this.revoke();
    if (this.#group.members.delete(this)) this.#group.rebalance();
  }

  /** Leaves the group until its client does something again. */
  expire(): void {
    this.revoke();
    if (!this.#group.members.delete(this)) return;
    this.#group.rebalance();
    const join = () => {
      if (this.stopped) return;
      this.#group.members.add(this);
      this.#group.rebalance();
    };
    this.#broker.options.scheduler.after(0, join, this.client);
  }

  /** Deliveries that are under way are dropped. */
  revoke(): void {
    for (const reader of this.#readers.values()) reader.active = false;
    this.#readers.clear();
  }

  assign(logs: readonly PartitionLog[]): void {
    try {
      for (const log of logs) this.#read(log);
    } catch {
      // `startAt` threw: the member joins again, as a consumer that has crashed does.
      if (this.client.alive) this.#group.rebalance();
    }
  }

  /** Called when a partition has new records. */
  wake(log: PartitionLog): void {
    const reader = this.#readers.get(log);
    if (reader !== undefined) this.#deliver(reader);
  }

  #read(log: PartitionLog): void {
    const start = this.options.startAt(log.topic, log.partition) ?? 0;
    const isMissing = this.options.rereadsLast === true ? start >= log.end : start > log.end;
    const reader: Reader = { log, next: isMissing ? 0 : start, busy: false, paused: false, active: true };
    this.#readers.set(log, reader);
    this.#deliver(reader);
  }

  #deliver(reader: Reader): void {
    if (reader.busy || reader.paused || !reader.active) return;
    if (!hasNews(reader)) {
      this.options.caughtUp?.(reader.log.topic, reader.log.partition);
      return;
    }
    reader.busy = true;
    const { faults, prng } = this.#broker.options;
    const delayMs = faults.occurs("deliveryLate") ? prng.float() * MAX_DELIVERY_DELAY_MS : 0;
    this.#broker.send(
      this.#broker.latencyMs() + delayMs,
      () => {
        if (!reader.active) return;
        if (hasNews(reader)) this.#handle(reader, this.#fetch(reader));
        else reader.busy = false;
      },
      this.client,
    );
  }

  #fetch({ log, next }: Reader): Pick<Batch, "records" | "undecodable"> {
    const { faults, prng } = this.#broker.options;
    const back = faults.occurs("redelivery") ? prng.between(1, MAX_REDELIVERED) : 0;
    const limit = faults.occurs("shortBatch") ? prng.between(1, MAX_SHORT_BATCH) : MAX_BATCH;
    return log.read(Math.max(log.start, next - back), limit);
  }

  #handle(reader: Reader, fetched: Pick<Batch, "records" | "undecodable">): void {
    const { topic, partition, start, end } = reader.log;
    const { records, undecodable } = fetched;
    const { trace } = this.#broker.options;
    const first = records[0]?.offset ?? undecodable?.offset ?? end;
    const epoch = reader.log.epochAt(first);
    const last = undecodable?.lastOffset ?? records.at(-1)?.offset;
    trace.note(this.client.process, `receives ${topic}/${partition} from ${first} to ${last}`);
    this.#handling += 1;
    this.options.handle({ topic, partition, ...fetched, start, end, epoch }).then(
      (progress) => this.#handled(reader, progress),
      (error: unknown) => {
        trace.note(this.client.process, `rejects ${topic}/${partition} from ${first}: ${String(error)}`);
        this.#handled(reader, { next: reader.next, pauseMs: REJECTED_PAUSE_MS });
      },
    );
  }

  #handled(reader: Reader, progress: Progress): void {
    if (!this.client.alive) return;
    const { faults, trace } = this.#broker.options;
    this.#handling -= 1;
    if (faults.occurs("crashBeforeProgress")) {
      this.client.crash("between a commit and its progress");
      return;
    }
    if (reader.active) {
      const { topic, partition } = reader.log;
      if (faults.occurs("progressLost")) {
        // As when the session ends before the progress arrives: the partition is assigned again.
        trace.note(this.client.process, `progress in ${topic}/${partition} is lost`);
        reader.active = false;
        this.assign([reader.log]);
      } else this.#continue(reader, progress);
    }
    if (!this.idle) return;
    for (const callback of this.#whenIdle.splice(0)) callback();
    this.#group.assignWhenIdle();
  }

  #continue(reader: Reader, { next, pauseMs }: Progress): void {
    reader.busy = false;
    reader.next = next <= reader.log.end ? next : 0;
    if (pauseMs === undefined) this.#deliver(reader);
    else {
      reader.paused = true;
      const resume = () => {
        reader.paused = false;
        this.#deliver(reader);
      };
      this.#broker.options.scheduler.after(pauseMs, resume, this.client);
    }
  }
}
