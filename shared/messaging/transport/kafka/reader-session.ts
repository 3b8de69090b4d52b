import type { Consumer, EachBatchPayload } from "kafkajs";
import type { Logger } from "../../runtime.ts";
import { type IncomingRecord, topicPartition } from "../transport.ts";
import { atMost, DISCONNECT_TIMEOUT_MS, KafkaClient, type KafkaSettings } from "./client.ts";
import { toRecord } from "./records.ts";

/** A record as it lies in its topic. */
export interface StoredRecord extends IncomingRecord {
  /** Milliseconds since the epoch, as its writer or the broker put it there. */
  readonly at: number;
}

/** Offsets of one partition, `from` inclusive, `to` exclusive. */
export interface OffsetRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

const FETCH_WAIT_MS = 100;

/** What is being read just now. */
interface Reading {
  readonly ranges: Map<string, OffsetRange>;
  readonly records: StoredRecord[];
  readonly done: PromiseWithResolvers<void>;
}

/** One kafkajs consumer, from its building to its end. */
export class ReaderSession {
  readonly #client: KafkaClient;
  readonly #consumer: Consumer;
  readonly #group = `reader-${crypto.randomUUID()}`;
  readonly #joined = Promise.withResolvers<void>();
  readonly #begun: Promise<void>;
  #reading: Reading | undefined;
  /** Why it is of no use any more. */
  #failed: Error | undefined;

  constructor(settings: KafkaSettings, topics: readonly string[], log: Logger) {
    this.#client = new KafkaClient(settings, log);
    this.#consumer = this.#client.kafka.consumer({
      groupId: this.#group,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: async () => false },
    });
    this.#joined.promise.catch(() => {});
    this.#begun = this.#begin(topics);
    this.#begun.catch(() => {});
  }

  async read(ranges: readonly OffsetRange[]): Promise<StoredRecord[]> {
    await this.#begun;
    await this.#joined.promise;
    if (this.#failed !== undefined) throw this.#failed;
    const reading: Reading = {
      ranges: new Map(ranges.map((range) => [topicPartition(range.topic, range.partition), range])),
      records: [],
      done: Promise.withResolvers(),
    };
    this.#reading = reading;
    for (const { topic, partition, from } of ranges) {
      this.#consumer.seek({ topic, partition, offset: String(from) });
      this.#consumer.resume([{ topic, partitions: [partition] }]);
    }
    await reading.done.promise;
    this.#reading = undefined;
    return reading.records;
  }

  /** Leaves the group, and takes the group with it. */
  async end(): Promise<void> {
    await atMost(DISCONNECT_TIMEOUT_MS, this.#consumer.disconnect());
    const admin = this.#client.kafka.admin();
    await atMost(
      DISCONNECT_TIMEOUT_MS,
      admin
        .connect()
        .then(() => admin.deleteGroups([this.#group]))
        .then(() => admin.disconnect()),
    );
    this.abandon();
  }

  abandon(): void {
    this.#client.destroy();
    void atMost(DISCONNECT_TIMEOUT_MS, this.#consumer.disconnect());
  }

  async #begin(topics: readonly string[]): Promise<void> {
    const { events } = this.#consumer;
    const fail = (error: Error) => {
      this.#failed ??= error;
      this.#joined.reject(error);
      this.#reading?.done.reject(error);
    };
    this.#consumer.on(events.CRASH, ({ payload }) => fail(payload.error));
    this.#consumer.on(events.STOP, () => fail(new Error("the reader stopped")));
    // Before the first fetch of an assignment: kafkajs calls its listeners synchronously.
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      for (const [topic, partitions] of Object.entries(payload.memberAssignment)) {
        this.#consumer.pause([{ topic, partitions }]);
      }
      this.#reading?.done.reject(new Error("the reader's group changed"));
      this.#joined.resolve();
    });
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...topics], fromBeginning: false });
    await this.#consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 8,
      eachBatch: async (payload) => this.#take(payload),
    });
  }

  #take({ batch }: EachBatchPayload): void {
    const { topic, partition } = batch;
    const reading = this.#reading;
    const range = reading?.ranges.get(topicPartition(topic, partition));
    if (reading === undefined || range === undefined) return;
    for (const message of batch.messages) {
      const record = toRecord(topic, partition, message);
      if (record.offset < range.from || record.offset >= range.to) continue;
      reading.records.push({ ...record, at: Number(message.timestamp) });
    }
    if (Number(batch.lastOffset()) < range.to - 1) return;
    this.#consumer.pause([{ topic, partitions: [partition] }]);
    reading.ranges.delete(topicPartition(topic, partition));
    if (reading.ranges.size === 0) reading.done.resolve();
  }
}
