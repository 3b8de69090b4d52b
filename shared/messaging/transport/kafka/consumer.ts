import { isUtf8 } from "node:buffer";
import type { Consumer, ConsumerConfig, EachBatchPayload, KafkaMessage } from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import { isLogged } from "../../errors.ts";
import { RepeatedFailure } from "../../repeated-failure.ts";
import type { Logger, Runtime } from "../../runtime.ts";
import {
  type Batch,
  type IncomingRecord,
  type Progress,
  type SubscribeOptions,
  topicPartition,
} from "../transport.ts";
import { type EmptyFetch, KafkaClient, type KafkaSettings, listenTo } from "./client.ts";
import type { FetchedMessage } from "./fetch.ts";
import { createMissingTopics } from "./topics.ts";

/** A member without a heartbeat for so long loses its partitions. The least that Apache Kafka allows. */
export const SESSION_TIMEOUT_MS = 6_000;
const HEARTBEAT_MS = 1_500;
/** A fetch without data is answered after so long. A seek, or the end of a pause, takes effect when the fetch has ended. */
const FETCH_WAIT_MS = 100;
/** The same, once there was nothing to do for some time: an idle consumer costs CPU for each fetch, and nothing else. */
const IDLE_FETCH_WAIT_MS = 1_000;
const IDLE_AFTER_MS = 5_000;
/** After so long without a fetch the consumer is replaced. Longer than a rebalance. */
const STALLED_MS = 20_000;
/** How often offsets are committed to the broker, for display only. */
const COMMIT_INTERVAL_MS = 1_000;
/** How soon partitions that were added to a topic are found. */
const METADATA_MAX_AGE_MS = 10_000;
/** At most this much of each partition is fetched at a time, and this much from each broker: compressed, as it is stored. */
const PARTITION_BYTES = 128 * 1024;
const FETCH_BYTES = 2 * 1024 * 1024;
const REJECTED_PAUSE_MS = 1_000;
/** Partitions whose records are handled at the same time. */
const MAX_CONCURRENCY = 64;

const consumerConfig: Omit<ConsumerConfig, "groupId"> = {
  sessionTimeout: SESSION_TIMEOUT_MS,
  rebalanceTimeout: SESSION_TIMEOUT_MS,
  heartbeatInterval: HEARTBEAT_MS,
  metadataMaxAge: METADATA_MAX_AGE_MS,
  maxWaitTimeInMs: FETCH_WAIT_MS,
  minBytes: 1,
  maxBytesPerPartition: PARTITION_BYTES,
  maxBytes: FETCH_BYTES,
  allowAutoTopicCreation: false,
  retry: { restartOnFailure: async () => false },
};

export interface KafkaContext {
  readonly settings: KafkaSettings;
  /** Created when they are missing. */
  readonly topics: readonly Topic[];
  readonly runtime: Runtime;
  readonly log: Logger;
}

/** One kafkajs consumer: it joins its group once, and is closed when it fails. */
export class KafkaConsumer {
  readonly #context: KafkaContext;
  readonly #options: SubscribeOptions;
  readonly #onFirstFetch: () => void;
  readonly #client: KafkaClient;
  readonly #consumer: Consumer;
  readonly #failure = Promise.withResolvers<never>();
  readonly #handling = new Set<Promise<void>>();
  readonly #timers = new Set<() => void>();
  /** The offset at which the next batch of a partition begins, at the earliest. Absent: any. */
  readonly #positions = new Map<string, number>();
  /** The offset that the reader asked for last. A fetch may be of a later one: kafkajs goes to where the log begins by itself. */
  readonly #asked = new Map<string, number>();
  /** Offsets that are still to be committed to the broker. */
  readonly #uncommitted = new Map<string, { topic: string; partition: number; offset: string }>();
  /** The number of assignments when the last fetch of a broker began. */
  readonly #assignmentsAtFetch = new Map<number, number>();
  readonly #rejected: RepeatedFailure;
  #assignments = 0;
  #started: Promise<void> | undefined;
  #committing: Promise<void> | undefined;
  #hasFetched = false;
  #failed = false;
  /** Partitions that are paused. */
  #paused = 0;
  /** Each ends a fetch, which the broker may not have answered. */
  readonly #endFetch = new Set<() => void>();
  /** Until then there is no fetch: it would be soon after one that brought records. */
  #nextFetchMs = Number.NEGATIVE_INFINITY;
  #lastFetchMs: number;
  /** When records were read, or a partition was sought, paused or resumed. */
  #lastActiveMs: number;

  constructor(context: KafkaContext, options: SubscribeOptions, events: { onFirstFetch: () => void }) {
    this.#context = context;
    this.#rejected = new RepeatedFailure(context.runtime, context.log);
    this.#options = options;
    this.#onFirstFetch = events.onFirstFetch;
    this.#client = new KafkaClient(context.settings, context.log);
    this.#consumer = this.#client.kafka.consumer({ ...consumerConfig, groupId: options.group });
    this.#lastFetchMs = context.runtime.monotonic();
    this.#lastActiveMs = this.#lastFetchMs;
    this.#failure.promise.catch(() => {});
  }

  /** Milliseconds since the last fetch succeeded, with or without data. Infinity before the first. */
  sinceFetchMs(): number {
    return this.#hasFetched ? this.#elapsedMs() : Number.POSITIVE_INFINITY;
  }

  /** Consumes until the consumer fails, then rejects with the reason. `close` has to be called in any case. */
  run(): Promise<never> {
    const timer = setInterval(() => {
      void this.#commit();
      if (this.#handling.size === 0 && this.#elapsedMs() > STALLED_MS) {
        this.fail(new Error(`nothing was fetched for ${STALLED_MS / 1_000} s`));
      }
    }, COMMIT_INTERVAL_MS);
    this.#timers.add(() => clearInterval(timer));
    this.#started = this.#start();
    this.#started.catch((error: unknown) => this.fail(error));
    return this.#failure.promise;
  }

  /** Nothing is delivered any more, and `run` rejects. */
  fail(reason: unknown): void {
    this.#failed = true;
    this.#failure.reject(reason);
  }

  /** Resolves when no handler runs any more: at most 3 s after the last one, whatever the broker does. */
  async close(): Promise<void> {
    this.fail(new Error("closed"));
    for (const cancel of this.#timers) cancel();
    await Promise.allSettled(this.#handling);
    await this.#client.close(async () => {
      // A consumer that is stopped while it joins would join all the same, and stay in the group.
      await this.#started?.catch(() => {});
      await this.#commit();
      const stopped = this.#consumer.stop();
      for (const endFetch of this.#endFetch) endFetch();
      await stopped;
    });
  }

  /** Fetches when it is time to. A fetch that is not answered when the consumer is closed brings no records. */
  async #fetch<Batch>(fetch: () => Promise<readonly Batch[]>): Promise<readonly Batch[]> {
    const { runtime } = this.#context;
    const closed = Promise.withResolvers<readonly []>();
    const endFetch = () => closed.resolve([]);
    this.#endFetch.add(endFetch);
    try {
      const delayMs = this.#nextFetchMs - runtime.monotonic();
      if (delayMs > 0) {
        const due = Promise.withResolvers<void>();
        const cancel = runtime.after(delayMs, due.resolve);
        await Promise.race([due.promise, closed.promise]);
        cancel();
      }
      return await Promise.race([fetch(), closed.promise]);
    } finally {
      this.#endFetch.delete(endFetch);
    }
  }

  async #start(): Promise<void> {
    await createMissingTopics(
      this.#client.kafka,
      this.#context.topics,
      this.#context.settings.topics,
      this.#context.log,
    );
    if (this.#failed) return;
    const { events } = this.#consumer;
    const track = (work: Promise<void>) => {
      this.#handling.add(work);
      return work.finally(() => this.#handling.delete(work));
    };
    const eachBatch = (payload: EachBatchPayload) => track(this.#eachBatch(payload));
    listenTo(eachBatch, {
      onCrash: (error) => this.fail(error),
      onEmptyFetch: (fetch) => {
        if (this.#isBefore(fetch)) return track(this.#emptyFetch(fetch));
        if (fetch.isAtEnd && !this.#failed) this.#options.caughtUp?.(fetch.topic, fetch.partition);
        return undefined;
      },
      fetchWaitMs: () => this.#fetchWaitMs(),
      aroundFetch: (fetch) => this.#fetch(fetch),
    });
    this.#consumer.on(events.STOP, () => this.fail(new Error("the consumer stopped")));
    this.#consumer.on(events.REQUEST_TIMEOUT, ({ payload }) =>
      this.fail(new Error(`the broker did not answer (${payload.apiName})`)),
    );
    // Called before the first fetch of the new assignment: kafkajs calls its listeners synchronously.
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      try {
        this.#assign(payload.memberAssignment);
      } catch (error) {
        // Not thrown at kafkajs, which would leave a member in the group that the next one has to wait for.
        this.fail(error);
      }
    });
    this.#consumer.on(events.FETCH_START, ({ payload }) => {
      this.#assignmentsAtFetch.set(payload.nodeId, this.#assignments);
    });
    this.#consumer.on(events.FETCH, ({ payload }) => {
      // kafkajs emits FETCH also for a fetch that failed and made it join its group again.
      if (this.#assignmentsAtFetch.get(payload.nodeId) === this.#assignments) this.#markFetch();
    });
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#options.topics], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: this.#concurrency(),
      eachBatch,
    });
  }

  /** As many as there may be partitions with records: for each fetch, kafkajs calls so many workers. */
  #concurrency(): number {
    let partitions = 0;
    for (const name of this.#options.topics) {
      partitions += this.#context.topics.find((topic) => topic.name === name)?.partitions ?? MAX_CONCURRENCY;
    }
    return Math.min(partitions, MAX_CONCURRENCY);
  }

  #assign(assignment: Readonly<Record<string, number[]>>): void {
    this.#assignments += 1;
    // Offsets of the previous assignment may belong to another member now.
    this.#uncommitted.clear();
    this.#positions.clear();
    this.#asked.clear();
    const partitions = Object.entries(assignment).flatMap(([topic, numbers]) =>
      numbers.map((partition) => ({ topic, partition })),
    );
    this.#seekToStart(partitions);
    // What is committed from now on has to wait for it: it is about what was committed before.
    if (this.#options.committed !== undefined) this.#committing = this.#reportCommitted(partitions);
  }

  /** Tells the reader what its group had committed. Never rejects: without a broker that says so, nothing is told. */
  async #reportCommitted(partitions: readonly { topic: string; partition: number }[]): Promise<void> {
    await this.#committing;
    const assignments = this.#assignments;
    const topics = [...new Set(partitions.map(({ topic }) => topic))];
    if (topics.length === 0) return;
    const admin = this.#client.kafka.admin();
    try {
      await admin.connect();
      const committed = await admin.fetchOffsets({ groupId: this.#options.group, topics });
      if (this.#failed || assignments !== this.#assignments) return;
      for (const { topic, partition } of partitions) {
        const found = committed.find((one) => one.topic === topic)?.partitions;
        const offset = Number(found?.find((one) => one.partition === partition)?.offset ?? -1);
        if (offset >= 0) this.#options.committed?.(topic, partition, offset);
      }
    } catch (error) {
      this.#context.log.debug({ err: error }, "the committed offsets of the group cannot be read");
    } finally {
      await admin.disconnect().catch(() => {});
    }
  }

  #seekToStart(partitions: readonly { topic: string; partition: number }[]): void {
    this.#markActive();
    const starts = partitions.map(({ topic, partition }) => {
      const key = topicPartition(topic, partition);
      this.#positions.delete(key);
      const offset = this.#options.startAt(topic, partition) ?? 0;
      this.#asked.set(key, offset);
      this.#consumer.seek({ topic, partition, offset: String(offset) });
      return { topic, partition, offset };
    });
    if (this.#options.rereadsLast !== true) return;
    this.#checkEnds(starts.filter(({ offset }) => offset > 0)).catch((error: unknown) => this.fail(error));
  }

  /** Where a log ends at the offset of a record that is to be read again, seeks to its beginning. */
  async #checkEnds(starts: readonly { topic: string; partition: number; offset: number }[]): Promise<void> {
    if (starts.length === 0) return;
    const assignments = this.#assignments;
    const admin = this.#client.kafka.admin();
    await admin.connect();
    try {
      for (const [topic, ofTopic] of Map.groupBy(starts, (start) => start.topic)) {
        const ends = await admin.fetchTopicOffsets(topic);
        if (this.#failed || assignments !== this.#assignments) return;
        for (const { partition, offset } of ofTopic) {
          const isAtEnd = ends.some((end) => end.partition === partition && Number(end.high) === offset);
          const isRead = this.#positions.has(topicPartition(topic, partition));
          if (isAtEnd && !isRead) this.#consumer.seek({ topic, partition, offset: "0" });
        }
      }
    } finally {
      await admin.disconnect();
    }
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages, highWatermark } = payload.batch;
    this.#markActive();
    this.#nextFetchMs = this.#lastActiveMs + (this.#options.fetchIntervalMs ?? 0);
    if (this.#failed) {
      // Until it is disconnected, kafkajs delivers the same batch again without a delay.
      await Bun.sleep(FETCH_WAIT_MS);
      return;
    }
    const first = fetched(messages[0]);
    const last = fetched(messages.at(-1));
    if (first === undefined || last === undefined || !payload.isRunning() || payload.isStale()) return;
    const { undecodable } = last;
    const decoded = undecodable === undefined ? messages : messages.slice(0, -1);
    const records = decoded.map((message) => toRecord(topic, partition, message));
    const key = topicPartition(topic, partition);
    if (Number(first.offset) < (this.#positions.get(key) ?? 0)) {
      // The log has become shorter than the position, and kafkajs went back to its beginning by itself. The reader
      // would take these records for ones that it has handled, so it is asked where to start.
      this.#seekToStart([{ topic, partition }]);
      return;
    }
    // Without heartbeats meanwhile, a slow handler would cost the membership.
    const heartbeats = setInterval(() => payload.heartbeat().catch(() => {}), HEARTBEAT_MS);
    const batch: Batch = {
      ...{ topic, partition, records, start: first.logStart, end: Number(highWatermark) },
      epoch: first.batchContext.partitionLeaderEpoch,
      ...(undecodable === undefined ? {} : { undecodable }),
    };
    const { next, pauseMs } = await this.#handle(batch).finally(() => clearInterval(heartbeats));
    this.#markFetch();
    if (payload.isStale()) return;
    this.#uncommitted.set(key, { topic, partition, offset: String(next) });
    if (this.#failed) return;
    if (next === Number(last.offset) + 1) payload.resolveOffset(last.offset);
    else this.#consumer.seek({ topic, partition, offset: String(next) });
    this.#positions.set(key, next);
    this.#asked.set(key, next);
    if (pauseMs !== undefined && pauseMs > 0) this.#pause(topic, partition, pauseMs);
    await payload.heartbeat();
  }

  /** Whether the reader asked for what the log has no more. */
  #isBefore({ topic, partition, start }: EmptyFetch): boolean {
    const asked = this.#asked.get(topicPartition(topic, partition));
    return !this.#failed && asked !== undefined && asked < start;
  }

  /** Delivers that the log has nothing more of what the reader asked for. */
  async #emptyFetch({ topic, partition, start, end }: EmptyFetch): Promise<void> {
    const key = topicPartition(topic, partition);
    const assignments = this.#assignments;
    const { next, pauseMs } = await this.#handle({ topic, partition, records: [], start, end, epoch: 0 });
    if (this.#failed || assignments !== this.#assignments) return;
    // Until there is a record, nothing has to be sought: what is before the log's beginning cannot be fetched.
    this.#asked.set(key, next);
    if (pauseMs !== undefined && pauseMs > 0) this.#pause(topic, partition, pauseMs);
  }

  async #handle(batch: Batch): Promise<Progress> {
    const { topic, partition } = batch;
    const place = topicPartition(topic, partition);
    try {
      const progress = await this.#options.handle(batch);
      this.#rejected.over(place, { topic, partition }, "a batch that had failed is handled");
      return progress;
    } catch (error) {
      // Otherwise the unit of work has said so, for all partitions.
      if (!isLogged(error)) {
        const text = "a batch failed, it is delivered again";
        this.#rejected.failed(place, error, { topic, partition }, text, { level: "error" });
      }
      const next =
        batch.records[0]?.offset ??
        batch.undecodable?.offset ??
        this.#asked.get(topicPartition(topic, partition)) ??
        0;
      return { next, pauseMs: REJECTED_PAUSE_MS };
    }
  }

  #pause(topic: string, partition: number, pauseMs: number): void {
    const paused = [{ topic, partitions: [partition] }];
    this.#markActive();
    this.#consumer.pause(paused);
    this.#paused += 1;
    const cancel = this.#context.runtime.after(pauseMs, () => {
      this.#timers.delete(cancel);
      this.#markActive();
      this.#paused -= 1;
      try {
        this.#consumer.resume(paused);
      } catch {
        // kafkajs refuses after a crash. The consumer that replaces this one begins without pauses.
      }
    });
    this.#timers.add(cancel);
  }

  /** Commits to the broker how far the group is, for display only. Never rejects; one commit at a time. */
  async #commit(): Promise<void> {
    await this.#committing;
    const offsets = [...this.#uncommitted.values()];
    if (offsets.length === 0) return;
    this.#uncommitted.clear();
    this.#committing = this.#consumer.commitOffsets(offsets).catch((error: unknown) => {
      this.#context.log.debug({ err: error }, "offsets were not committed to the broker");
    });
    await this.#committing;
  }

  #markActive(): void {
    this.#lastActiveMs = this.#context.runtime.monotonic();
  }

  #fetchWaitMs(): number {
    const isIdle = this.#context.runtime.monotonic() - this.#lastActiveMs > IDLE_AFTER_MS;
    return isIdle && this.#paused === 0 ? IDLE_FETCH_WAIT_MS : FETCH_WAIT_MS;
  }

  #markFetch(): void {
    this.#lastFetchMs = this.#context.runtime.monotonic();
    if (this.#hasFetched) return;
    this.#hasFetched = true;
    this.#onFirstFetch();
  }

  #elapsedMs(): number {
    return this.#context.runtime.monotonic() - this.#lastFetchMs;
  }
}

/** What `fetch.ts` decodes, kafkajs passes on as it is. */
function fetched(message: KafkaMessage | undefined): FetchedMessage | undefined {
  return message as unknown as FetchedMessage | undefined;
}

/** @param message one that `fetch.ts` decoded */
export function toRecord(
  topic: string,
  partition: number,
  message: KafkaMessage | FetchedMessage,
): IncomingRecord {
  const { offset, timestampMs, key, value, rawHeaders } = message as FetchedMessage;
  // Not an object: a header may have the name of one of its inherited properties.
  const texts = new Map<string, string>();
  const isKeyText = key === null || isUtf8(key);
  let isText = isKeyText;
  for (const [bytes, content] of rawHeaders) {
    const name = bytes.toString();
    const text = content?.toString() ?? "";
    const before = texts.get(name);
    isText &&= content !== null && before === undefined && isUtf8(bytes) && isUtf8(content);
    texts.set(name, before === undefined ? text : `${before}, ${text}`);
  }
  return {
    topic,
    partition,
    offset: Number(offset),
    timestampMs,
    key: isKeyText ? (key?.toString() ?? null) : `base64:${key.toString("base64")}`,
    value,
    headers: Object.fromEntries(texts),
    ...(isText ? {} : { exact: { key, headers: rawHeaders } }),
  };
}
