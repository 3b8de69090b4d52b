import type { Admin, Consumer, EachBatchPayload } from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import type { Logger } from "../../runtime.ts";
import { type IncomingRecord, type OutgoingRecord, topicPartition } from "../transport.ts";
import { KafkaClient, type KafkaSettings, listenTo, within } from "./client.ts";
import { toRecord } from "./consumer.ts";
import { keyHash } from "./produce.ts";
import { KafkaPublisher } from "./publisher.ts";

export interface PartitionState {
  readonly partition: number;
  /** The first offset that the partition still has. */
  readonly earliest: number;
  /** One past the last offset. */
  readonly latest: number;
}

export interface TopicState {
  readonly name: string;
  readonly partitions: readonly PartitionState[];
  /** How many records each group that reads the topic has still to read, by the offsets that it committed. */
  readonly groups: readonly { readonly group: string; readonly lag: number }[];
}

/** A record as it is stored in its topic. */
export interface StoredRecord extends IncomingRecord {
  /** Milliseconds since the epoch, set by its producer or the broker. */
  readonly at: number;
}

/** How far back in a partition the records of a key are searched. */
const SEARCH_DEPTH = 20_000;
const QUERY_TIMEOUT_MS = 3_000;
/** For a cluster of any size. */
const QUERY_ALL_TIMEOUT_MS = 30_000;
/** A cluster takes up to three seconds before the first member of a group gets its partitions. */
const FIRST_READ_TIMEOUT_MS = 12_000;
const FETCH_WAIT_MS = 100;
/** After so long without a read the consumer leaves its group. */
const IDLE_MS = 30_000;

/**
 * Shows operators what a cluster holds: offsets, lag, records. It changes nothing, except that `publish` appends. It
 * connects at the first use; a connection that fails is replaced, once for each call.
 */
export class KafkaInspector {
  readonly #settings: KafkaSettings;
  readonly #topics: readonly Topic[] | "all";
  readonly #groups: readonly string[] | "all";
  readonly #log: Logger;
  readonly #publisher: KafkaPublisher;
  #session: Session | undefined;
  #lastRead: Promise<unknown> = Promise.resolve();
  #idle: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param topics the topics that are shown and read; with `"all"`, records cannot be read
   * @param groups the consumer groups whose lag is shown
   */
  constructor(
    settings: KafkaSettings,
    topics: readonly Topic[] | "all",
    groups: readonly string[] | "all",
    log: Logger,
  ) {
    this.#settings = settings;
    this.#topics = topics;
    this.#groups = groups;
    this.#log = log;
    this.#publisher = new KafkaPublisher(settings, topics === "all" ? [] : topics, log);
  }

  /** Every topic with its offsets and the lag of each group. @throws when the broker does not answer */
  topics(): Promise<TopicState[]> {
    return this.#query(async (admin) => {
      const names = this.#topics === "all" ? (await admin.listTopics()).sort() : namesOf(this.#topics);
      const groups = this.#groups === "all" ? await groupsOf(admin) : this.#groups;
      const [partitions, committed] = await Promise.all([
        Promise.all(names.map((name) => partitionsOf(admin, name))),
        Promise.all(groups.map((groupId) => admin.fetchOffsets({ groupId, topics: names }))),
      ]);
      return names.map((name, index) => {
        const states = partitions[index] ?? [];
        const lags = groups.flatMap((group, at) => {
          const offsets = committed[at]?.find(({ topic }) => topic === name)?.partitions ?? [];
          const lag = lagOf(states, offsets);
          return lag === undefined ? [] : [{ group, lag }];
        });
        return { name, partitions: states, groups: lags };
      });
    });
  }

  /** The last records of a topic, newest first. @throws when the broker does not answer */
  async latest(topic: string, count: number): Promise<StoredRecord[]> {
    const partitions = await this.#query((admin) => partitionsOf(admin, topic));
    const records = await this.read(partitions.map((state) => lastOf(topic, state, count)));
    return records.sort((one, other) => other.at - one.at || other.offset - one.offset).slice(0, count);
  }

  /**
   * The records of a key in some topics, oldest first, among the last 20,000 of its partition in each.
   *
   * @throws when the broker does not answer
   */
  async ofKey(key: string, topics: readonly string[]): Promise<StoredRecord[]> {
    const ranges = await this.#query((admin) =>
      Promise.all(
        topics.map(async (topic) => {
          const partitions = await partitionsOf(admin, topic);
          const home = keyHash(key) % this.#partitionsDefined(topic, partitions.length);
          return partitions
            .filter(({ partition }) => partition === home)
            .map((state) => lastOf(topic, state, SEARCH_DEPTH));
        }),
      ),
    );
    const records = await this.read(ranges.flat());
    return records
      .filter((record) => record.key === key)
      .sort((one, other) => one.at - other.at || one.offset - other.offset);
  }

  /** Resolves when the broker has acknowledged the records, which it may have stored twice. */
  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    // The publisher reconnects after a failure, and the failure may be that its connection was dead.
    await this.#publisher.publish(records).catch(() => this.#publisher.publish(records));
  }

  async close(): Promise<void> {
    await Promise.all([this.#publisher.close(), this.#closeSession()]);
  }

  /** The number of partitions among which the kit's publisher distributes keys. */
  #partitionsDefined(name: string, existing: number): number {
    if (this.#topics === "all") return existing;
    return this.#topics.find((topic) => topic.name === name)?.partitions ?? existing;
  }

  #query<T>(query: (admin: Admin) => Promise<T>): Promise<T> {
    const isWholeCluster = this.#topics === "all" || this.#groups === "all";
    const limitMs = isWholeCluster ? QUERY_ALL_TIMEOUT_MS : QUERY_TIMEOUT_MS;
    return this.#withSession((session) => within(limitMs, "asking the broker", session.query(query)));
  }

  /**
   * The records of ranges of offsets, in any order. Concurrent calls are executed one after the other.
   *
   * @throws when the broker does not answer
   */
  read(ranges: readonly OffsetRange[]): Promise<StoredRecord[]> {
    const wanted = ranges.filter(({ from, to }) => to > from);
    if (wanted.length === 0) return Promise.resolve([]);
    const read = this.#lastRead.then(() =>
      this.#withSession((session) => {
        const limitMs = session.isReading ? QUERY_TIMEOUT_MS : FIRST_READ_TIMEOUT_MS;
        return within(limitMs, "reading from the broker", session.read(wanted));
      }),
    );
    this.#lastRead = read.catch(() => {});
    return read;
  }

  /** A session that was opened before may have lost its broker since: if it fails, a new one is tried. */
  async #withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    const attempt = async (): Promise<T> => {
      this.#session ??= new Session(this.#settings, this.#topics, this.#log);
      const session = this.#session;
      try {
        return await work(session);
      } catch (error) {
        if (this.#session === session) this.#session = undefined;
        session.destroy();
        throw error;
      }
    };
    try {
      return await (this.#session === undefined ? attempt() : attempt().catch(attempt));
    } finally {
      clearTimeout(this.#idle);
      this.#idle = setTimeout(() => void this.#closeSession(), IDLE_MS);
      // It must not keep a process alive that only inspected.
      this.#idle.unref();
    }
  }

  async #closeSession(): Promise<void> {
    clearTimeout(this.#idle);
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }
}

/** Offsets of one partition, `from` inclusive, `to` exclusive. */
export interface OffsetRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

/** The read that is pending. */
interface PendingRead {
  /** By topic and partition; a range is removed when it was read. */
  readonly ranges: Map<string, OffsetRange>;
  readonly records: StoredRecord[];
  readonly done: PromiseWithResolvers<void>;
}

/**
 * One connection. kafkajs reads only as a member of a group: the session has a group of its own, and pauses all
 * partitions except those that are being read. After any failure it has to be destroyed.
 */
class Session {
  readonly #topics: readonly string[];
  readonly #client: KafkaClient;
  readonly #admin: Promise<Admin>;
  readonly #group = `inspector-${crypto.randomUUID()}`;
  readonly #consumer: Consumer;
  /** Resolved at the first assignment. */
  readonly #assigned = Promise.withResolvers<void>();
  #failure: Error | undefined;
  #joined: Promise<void> | undefined;
  #pending: PendingRead | undefined;

  constructor(settings: KafkaSettings, topics: readonly Topic[] | "all", log: Logger) {
    this.#topics = topics === "all" ? [] : namesOf(topics);
    this.#client = new KafkaClient(settings, log);
    const admin = this.#client.kafka.admin();
    this.#admin = admin.connect().then(() => admin);
    this.#admin.catch(() => {});
    this.#consumer = this.#client.kafka.consumer({
      groupId: this.#group,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: async () => false },
    });
    this.#assigned.promise.catch(() => {});
  }

  /** Whether it has joined its group, or is about to. */
  get isReading(): boolean {
    return this.#joined !== undefined;
  }

  async query<T>(query: (admin: Admin) => Promise<T>): Promise<T> {
    return query(await this.#admin);
  }

  async read(ranges: readonly OffsetRange[]): Promise<StoredRecord[]> {
    this.#joined ??= this.#join();
    await this.#joined;
    if (this.#failure !== undefined) throw this.#failure;
    const pending: PendingRead = {
      ranges: new Map(ranges.map((range) => [topicPartition(range.topic, range.partition), range])),
      records: [],
      done: Promise.withResolvers(),
    };
    this.#pending = pending;
    for (const { topic, partition, from } of ranges) {
      this.#consumer.seek({ topic, partition, offset: String(from) });
      this.#consumer.resume([{ topic, partitions: [partition] }]);
    }
    await pending.done.promise;
    this.#pending = undefined;
    return pending.records;
  }

  /** Leaves the group and deletes it. */
  close(): Promise<void> {
    return this.#client.close(async () => {
      await this.#consumer.disconnect();
      const admin = await this.#admin;
      if (this.isReading) await admin.deleteGroups([this.#group]);
      await admin.disconnect();
    });
  }

  destroy(): void {
    this.#client.destroy();
    this.#consumer.disconnect().catch(() => {});
  }

  async #join(): Promise<void> {
    const { events } = this.#consumer;
    this.#consumer.on(events.CRASH, ({ payload }) => this.#fail(payload.error));
    this.#consumer.on(events.STOP, () => this.#fail(new Error("the consumer stopped")));
    // Called before the first fetch of an assignment: kafkajs calls its listeners synchronously.
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      for (const [topic, partitions] of Object.entries(payload.memberAssignment)) {
        this.#consumer.pause([{ topic, partitions }]);
      }
      if (this.#pending !== undefined) this.#fail(new Error("the group was rebalanced"));
      this.#assigned.resolve();
    });
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#topics], fromBeginning: false });
    const eachBatch = async (payload: EachBatchPayload) => this.#take(payload);
    // A batch that cannot be decoded is no failure.
    listenTo(eachBatch, { onCrash: () => {}, onEmptyFetch: async () => {} });
    await this.#consumer.run({ autoCommit: false, partitionsConsumedConcurrently: 8, eachBatch });
    await this.#assigned.promise;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#assigned.reject(error);
    this.#pending?.done.reject(error);
  }

  #take({ batch }: EachBatchPayload): void {
    const { topic, partition } = batch;
    const key = topicPartition(topic, partition);
    const pending = this.#pending;
    const range = pending?.ranges.get(key);
    if (pending === undefined || range === undefined) return;
    for (const message of batch.messages) {
      const record = toRecord(topic, partition, message);
      if (record.offset < range.from || record.offset >= range.to) continue;
      pending.records.push({ ...record, at: record.timestampMs });
    }
    if (Number(batch.lastOffset()) < range.to - 1) return;
    this.#consumer.pause([{ topic, partitions: [partition] }]);
    pending.ranges.delete(key);
    if (pending.ranges.size === 0) pending.done.resolve();
  }
}

function namesOf(topics: readonly Topic[]): string[] {
  return topics.map(({ name }) => name);
}

async function groupsOf(admin: Admin): Promise<string[]> {
  const { groups } = await admin.listGroups();
  return groups.map(({ groupId }) => groupId).sort();
}

async function partitionsOf(admin: Admin, topic: string): Promise<PartitionState[]> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets
    .map(({ partition, low, high }) => ({ partition, earliest: Number(low), latest: Number(high) }))
    .sort((one, other) => one.partition - other.partition);
}

/** The last `count` offsets of a partition. */
function lastOf(topic: string, { partition, earliest, latest }: PartitionState, count: number): OffsetRange {
  return { topic, partition, from: Math.max(earliest, latest - count), to: latest };
}

/** What a group has still to read; undefined when it never committed an offset of the topic. */
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
