import type { Consumer, EachBatchPayload } from "kafkajs";
import { type Batch, type Progress, type SubscribeOptions, topicPartition } from "../transport.ts";
import { atMost, DISCONNECT_TIMEOUT_MS, KafkaClient } from "./client.ts";
import { KafkaCommits } from "./commits.ts";
import {
  COMMIT_EVERY_MS,
  consumerConfig,
  FETCH_WAIT_MS,
  HEARTBEAT_MS,
  type KafkaContext,
  RETRY_AFTER_REJECTION_MS,
  STALLED_MS,
} from "./consumer-settings.ts";
import { toRecord } from "./records.ts";
import { createMissingTopics } from "./topics.ts";

/** One kafkajs consumer, from its building to its end. */
export class KafkaConsumer {
  readonly #context: KafkaContext;
  readonly #options: SubscribeOptions;
  readonly #onFlow: () => void;
  readonly #client: KafkaClient;
  readonly #consumer: Consumer;
  readonly #commits: KafkaCommits;
  readonly #failure = Promise.withResolvers<never>();
  readonly #handling = new Set<Promise<void>>();
  readonly #timers = new Set<() => void>();
  /** Where the next batch of a partition has to begin, or after. None yet: anywhere. */
  readonly #positions = new Map<string, number>();
  /** How many assignments there had been when a broker's fetch began. */
  readonly #assignmentsAtFetch = new Map<number, number>();
  #assignments = 0;
  #begun: Promise<void> | undefined;
  #flowed = false;
  #over = false;
  #lastSignMs: number;

  constructor(context: KafkaContext, options: SubscribeOptions, events: { onFlow: () => void }) {
    this.#context = context;
    this.#options = options;
    this.#onFlow = events.onFlow;
    this.#client = new KafkaClient(context.settings, context.log);
    this.#consumer = this.#client.kafka.consumer({ ...consumerConfig, groupId: options.group });
    this.#commits = new KafkaCommits(this.#consumer, context.log);
    this.#lastSignMs = context.runtime.monotonic();
    this.#failure.promise.catch(() => {});
  }

  /** Milliseconds since something was fetched, be it nothing. */
  quietMs(): number {
    return this.#flowed ? this.#sinceSignMs() : Number.POSITIVE_INFINITY;
  }

  /** Consumes until it is of no use any more, then rejects with the reason. To be ended in any case. */
  run(): Promise<never> {
    this.#every(COMMIT_EVERY_MS, () => {
      void this.#commits.send();
      if (this.#handling.size === 0 && this.#sinceSignMs() > STALLED_MS) {
        this.fail(new Error(`nothing was fetched for ${STALLED_MS / 1_000} s`));
      }
    });
    this.#begun = this.#begin();
    this.#begun.catch((error: unknown) => this.fail(error));
    return this.#failure.promise;
  }

  /** From now on nothing is delivered. */
  fail(reason: unknown): void {
    this.#over = true;
    this.#failure.reject(reason);
  }

  /** Resolves when no handler runs any more: within FAREWELL_MS after the last one, whatever the broker does. */
  async end(): Promise<void> {
    this.fail(new Error("ended"));
    for (const cancel of this.#timers) cancel();
    await Promise.allSettled(this.#handling);
    await atMost(DISCONNECT_TIMEOUT_MS, this.#sayGoodbye());
    this.#client.destroy();
  }

  async #begin(): Promise<void> {
    await createMissingTopics(this.#client.kafka, this.#context.topics);
    if (this.#over) return;
    const { events } = this.#consumer;
    this.#consumer.on(events.CRASH, ({ payload }) => this.fail(payload.error));
    this.#consumer.on(events.STOP, () => this.fail(new Error("the consumer stopped")));
    this.#consumer.on(events.REQUEST_TIMEOUT, ({ payload }) =>
      this.fail(new Error(`the broker did not answer (${payload.apiName})`)),
    );
    // Runs before the first fetch of the new assignment: kafkajs calls its listeners synchronously.
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      try {
        this.#assign(payload.memberAssignment);
      } catch (error) {
        // Thrown at kafkajs it would leave a member in the group that the next one has to wait for.
        this.fail(error);
      }
    });
    this.#consumer.on(events.FETCH_START, ({ payload }) => {
      this.#assignmentsAtFetch.set(payload.nodeId, this.#assignments);
    });
    this.#consumer.on(events.FETCH, ({ payload }) => {
      // kafkajs reports a fetch that failed, and made it join its group again, as a fetch all the same.
      if (this.#assignmentsAtFetch.get(payload.nodeId) === this.#assignments) this.#showSign();
    });
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#options.topics], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 64,
      eachBatch: (payload) => this.#track(this.#eachBatch(payload)),
    });
  }

  async #sayGoodbye(): Promise<void> {
    // A consumer that is told to stop while it joins would join, and stay: the group would have to wait for it.
    await this.#begun?.catch(() => {});
    await this.#commits.send();
    await this.#consumer.disconnect();
  }

  #assign(assignment: Readonly<Record<string, number[]>>): void {
    this.#assignments += 1;
    this.#commits.forget();
    this.#positions.clear();
    for (const [topic, partitions] of Object.entries(assignment)) {
      for (const partition of partitions) this.#seekToStart(topic, partition);
    }
  }

  #seekToStart(topic: string, partition: number): void {
    this.#positions.delete(topicPartition(topic, partition));
    const offset = this.#options.startAt(topic, partition) ?? 0;
    this.#consumer.seek({ topic, partition, offset: String(offset) });
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages, highWatermark } = payload.batch;
    if (this.#over) {
      // Until it has said goodbye kafkajs goes on, and would come back with the same batch at once.
      await Bun.sleep(FETCH_WAIT_MS);
      return;
    }
    const records = messages.map((message) => toRecord(topic, partition, message));
    const first = records[0];
    const last = records.at(-1);
    if (first === undefined || last === undefined || !payload.isRunning() || payload.isStale()) return;
    const key = topicPartition(topic, partition);
    if (first.offset < (this.#positions.get(key) ?? 0)) {
      // The log has become shorter than where it was read, and kafkajs went to its beginning. The reader knows
      // nothing of that, and would take what it is given now for what it has had.
      this.#seekToStart(topic, partition);
      return;
    }
    // Without heartbeats meanwhile, a slow handler would cost the membership.
    const beat = setInterval(() => payload.heartbeat().catch(() => {}), HEARTBEAT_MS);
    const batch = { topic, partition, records, end: Number(highWatermark) };
    const { next, pauseMs } = await this.#handle(batch).finally(() => clearInterval(beat));
    this.#showSign();
    if (payload.isStale()) return;
    this.#commits.add(topic, partition, next);
    if (this.#over) return;
    if (next === last.offset + 1) payload.resolveOffset(String(last.offset));
    else this.#consumer.seek({ topic, partition, offset: String(next) });
    this.#positions.set(key, next);
    if (pauseMs !== undefined && pauseMs > 0) this.#pause(topic, partition, pauseMs);
    await payload.heartbeat();
  }

  async #handle(batch: Batch): Promise<Progress> {
    try {
      return await this.#options.handle(batch);
    } catch (error) {
      const { topic, partition } = batch;
      this.#context.log.error({ err: error, topic, partition }, "a batch failed, it will be delivered again");
      return { next: batch.records[0]?.offset ?? 0, pauseMs: RETRY_AFTER_REJECTION_MS };
    }
  }

  #pause(topic: string, partition: number, pauseMs: number): void {
    const where = [{ topic, partitions: [partition] }];
    this.#consumer.pause(where);
    const cancel = this.#context.runtime.after(pauseMs, () => {
      this.#timers.delete(cancel);
      try {
        this.#consumer.resume(where);
      } catch {
        // It crashed meanwhile, and refuses. The one that is built in its place pauses nothing.
      }
    });
    this.#timers.add(cancel);
  }

  #showSign(): void {
    this.#lastSignMs = this.#context.runtime.monotonic();
    if (this.#flowed) return;
    this.#flowed = true;
    this.#onFlow();
  }

  #sinceSignMs(): number {
    return this.#context.runtime.monotonic() - this.#lastSignMs;
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
