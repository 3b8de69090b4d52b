import type { EachBatchPayload, Kafka, KafkaMessage } from "kafkajs";
import { type Backoff, backoffMs, type Log, type Runtime } from "./runtime.ts";
import type { IncomingRecord, SubscribeOptions, Subscription } from "./transport.ts";

/** The broker forgets a member that is silent for so long. Six seconds is the least that Apache Kafka allows. */
const SESSION_TIMEOUT_MS = 6_000;
const HEARTBEAT_MS = 1_500;
/** A waiting fetch is answered when data arrives; only pauses and seeks have to wait for it to end. */
const FETCH_WAIT_MS = 100;
/** Fetches end every FETCH_WAIT_MS. Without one for so long, nothing flows: not ready any more… */
const QUIET_MS = 3_000;
/** …and after this long the consumer will not recover by itself, whatever it says, and is built anew. */
const STALLED_MS = 20_000;
const REBUILD_BACKOFF: Backoff = { firstMs: 100, mostMs: 2_000 };
/** How often the broker is told how far a group is. Only people look at it. */
const COMMIT_EVERY_MS = 1_000;
/** At most this much of each partition is in memory at a time, and this much of all. */
const PARTITION_BYTES = 512 * 1024;
const FETCH_BYTES = 8 * 1024 * 1024;

/** How long a client that is thrown away may take to say goodbye. */
export const FAREWELL_MS = 3_000;

/**
 * A consumer that is thrown away and built anew whenever it stops working: kafkajs gives up for good on errors
 * that it takes for final, and can stop fetching without a word.
 */
export class KafkaSubscription implements Subscription {
  readonly #kafka: Kafka;
  readonly #createTopics: () => Promise<void>;
  readonly #options: SubscribeOptions;
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #ended: Promise<void>;
  #consumer: ConsumerLife | undefined;
  #stopped = false;
  #wakeUp: () => void = () => {};

  constructor(
    kafka: Kafka,
    createTopics: () => Promise<void>,
    options: SubscribeOptions,
    runtime: Runtime,
    log: Log,
  ) {
    this.#kafka = kafka;
    this.#createTopics = createTopics;
    this.#options = options;
    this.#runtime = runtime;
    this.#log = log;
    this.#ended = this.#keepConsuming();
  }

  healthy(): boolean {
    return this.#consumer !== undefined && this.#consumer.quietMs() < QUIET_MS;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wakeUp();
    this.#consumer?.fail(new Error("stopped"));
    await this.#ended;
  }

  async #keepConsuming(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      const life = new ConsumerLife(this.#kafka, this.#options, this.#runtime, this.#log);
      try {
        await this.#createTopics();
        if (this.#stopped) break;
        await life.begin();
        this.#consumer = life;
        if (failures > 0) this.#log.info({ group: this.#options.group }, "consuming again");
        await life.failure;
      } catch (error) {
        if (this.#stopped) break;
        failures = life.flowed ? 1 : failures + 1;
        this.#log.warn({ err: error, group: this.#options.group, failures }, "not consuming, starting over");
      } finally {
        this.#consumer = undefined;
        await life.end();
      }
      await this.#sleep(backoffMs(REBUILD_BACKOFF, failures, () => this.#runtime.random()));
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeUp = resolve;
      if (this.#stopped) resolve();
      else this.#runtime.after(delayMs, resolve);
    });
  }
}

/** One kafkajs consumer, from its building to its end. */
class ConsumerLife {
  /** Rejects when this consumer is of no use any more. */
  readonly failure: Promise<never>;
  /** Whether it ever fetched. */
  flowed = false;
  readonly fail: (error: unknown) => void;
  readonly #consumer;
  readonly #options: SubscribeOptions;
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #uncommitted = new Map<string, { topic: string; partition: number; offset: string }>();
  readonly #timers = new Set<() => void>();
  #handling = new Set<Promise<unknown>>();
  #lastFetchMs: number;

  constructor(kafka: Kafka, options: SubscribeOptions, runtime: Runtime, log: Log) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.failure = promise;
    this.fail = reject;
    this.#options = options;
    this.#runtime = runtime;
    this.#log = log;
    this.#lastFetchMs = runtime.monotonic();
    this.#consumer = kafka.consumer({
      groupId: options.group,
      sessionTimeout: SESSION_TIMEOUT_MS,
      rebalanceTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytesPerPartition: PARTITION_BYTES,
      maxBytes: FETCH_BYTES,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 3, restartOnFailure: async () => false },
    });
  }

  /** Milliseconds since something was fetched, be it nothing. */
  quietMs(): number {
    return this.flowed ? this.#runtime.monotonic() - this.#lastFetchMs : Number.POSITIVE_INFINITY;
  }

  async begin(): Promise<void> {
    const { events } = this.#consumer;
    this.#consumer.on(events.CRASH, ({ payload }) => this.fail(payload.error));
    this.#consumer.on(events.STOP, () => this.fail(new Error("the consumer stopped")));
    this.#consumer.on(events.FETCH, () => {
      this.flowed = true;
      this.#lastFetchMs = this.#runtime.monotonic();
    });
    // Runs before the first fetch of the new assignment: kafkajs calls its listeners synchronously.
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => this.#seekAll(payload.memberAssignment));
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#options.topics], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 64,
      eachBatch: (payload) => this.#track(this.#eachBatch(payload)),
    });
    this.#every(COMMIT_EVERY_MS, () => this.#commit());
    this.#every(COMMIT_EVERY_MS, () => {
      if (this.#runtime.monotonic() - this.#lastFetchMs > STALLED_MS) {
        this.fail(new Error(`nothing was fetched for ${STALLED_MS / 1_000} s`));
      }
    });
  }

  async end(): Promise<void> {
    for (const cancel of this.#timers) cancel();
    this.fail(new Error("ended"));
    await Promise.allSettled(this.#handling);
    await atMost(FAREWELL_MS, this.#commit());
    await atMost(FAREWELL_MS, this.#consumer.disconnect());
  }

  #seekAll(assignment: Record<string, number[]>): void {
    for (const [topic, partitions] of Object.entries(assignment)) {
      for (const partition of partitions) {
        const offset = this.#options.startAt(topic, partition) ?? 0;
        this.#consumer.seek({ topic, partition, offset: String(offset) });
      }
    }
  }

  async #eachBatch({ batch, resolveOffset, heartbeat, isRunning, isStale }: EachBatchPayload): Promise<void> {
    const { topic, partition } = batch;
    const records = batch.messages.map((message) => toRecord(topic, partition, message));
    const first = records[0];
    const last = records.at(-1);
    if (first === undefined || last === undefined || !isRunning() || isStale()) return;
    const { next, pauseMs } = await this.#options
      .handle({ topic, partition, records, end: Number(batch.highWatermark) })
      .catch((error: unknown) => {
        this.#log.error({ err: error, topic, partition }, "a batch failed, it will be delivered again");
        return { next: first.offset, pauseMs: 1_000 };
      });
    if (isStale()) return;
    if (next === last.offset + 1) resolveOffset(String(last.offset));
    else this.#consumer.seek({ topic, partition, offset: String(next) });
    this.#uncommitted.set(`${topic}/${partition}`, { topic, partition, offset: String(next) });
    if (pauseMs !== undefined) this.#pause(topic, partition, pauseMs);
    await heartbeat();
  }

  #pause(topic: string, partition: number, pauseMs: number): void {
    const where = [{ topic, partitions: [partition] }];
    this.#consumer.pause(where);
    const cancel = this.#runtime.after(pauseMs, () => {
      this.#timers.delete(cancel);
      this.#consumer.resume(where);
    });
    this.#timers.add(cancel);
  }

  async #commit(): Promise<void> {
    const offsets = [...this.#uncommitted.values()];
    if (offsets.length === 0) return;
    this.#uncommitted.clear();
    await this.#consumer
      .commitOffsets(offsets)
      .catch((error: unknown) =>
        this.#log.debug({ err: error }, "the broker was not told how far the group is"),
      );
  }

  #every(periodMs: number, callback: () => void): void {
    const timer = setInterval(callback, periodMs);
    this.#timers.add(() => clearInterval(timer));
  }

  #track(work: Promise<void>): Promise<void> {
    this.#handling.add(work);
    return work.finally(() => this.#handling.delete(work));
  }
}

function toRecord(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    if (value !== undefined) headers[name] = (Array.isArray(value) ? value.join(", ") : value).toString();
  }
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key?.toString() ?? null,
    value: message.value,
    headers,
  };
}

/** Waits for something that may never end. */
export async function atMost(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.then(() => {}).catch(() => {}), limit]);
  clearTimeout(timer);
}
