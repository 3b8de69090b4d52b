import { Partitioners, type Producer, type TopicMessages } from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import type { Logger } from "../../runtime.ts";
import type { OutgoingRecord, Publisher } from "../transport.ts";
import { KafkaClient, type KafkaSettings, within } from "./client.ts";
import { createMissingTopics } from "./topics.ts";

/** kafkajs retries each request; this bounds them together. */
const SEND_TIMEOUT_MS = 15_000;
/** Brokers take about 1 MiB in one batch of a partition, unless configured otherwise (`max.message.bytes`). */
const SEND_BYTES = 800 * 1024;
/** What a record takes besides its content, at most: lengths, offset, time (record batch version 2). */
const RECORD_OVERHEAD_BYTES = 40;

/** Connects at the first publish, and again after one that failed. */
export class KafkaPublisher implements Publisher {
  readonly #settings: KafkaSettings;
  readonly #topics: readonly Topic[];
  readonly #log: Logger;
  #connection: { readonly client: KafkaClient; readonly producer: Promise<Producer> } | undefined;
  #pending = 0;
  #closed = false;

  constructor(settings: KafkaSettings, topics: readonly Topic[], log: Logger) {
    this.#settings = settings;
    this.#topics = topics;
    this.#log = log;
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#closed) throw new Error("the publisher is closed");
    for (const part of sendable(records)) await this.#send(part);
  }

  /** Disconnects. Sends that are pending fail. */
  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection;
    this.#connection = undefined;
    if (this.#pending > 0) connection?.client.destroy();
    else await connection?.client.close(async () => (await connection.producer).disconnect());
  }

  async #send(records: readonly OutgoingRecord[]): Promise<void> {
    this.#connection ??= this.#connect();
    const connection = this.#connection;
    this.#pending += 1;
    try {
      const sending = connection.producer.then((producer) =>
        producer.sendBatch({ acks: -1, timeout: SEND_TIMEOUT_MS, topicMessages: byTopic(records) }),
      );
      await within(SEND_TIMEOUT_MS, "sending to the broker", sending);
    } catch (error) {
      // Whatever the reason, the next attempt opens a new connection and looks for its topics.
      if (this.#connection === connection) this.#connection = undefined;
      connection.client.destroy();
      throw error;
    } finally {
      this.#pending -= 1;
    }
  }

  #connect() {
    const client = new KafkaClient(this.#settings, this.#log);
    const producer = this.#start(client);
    producer.catch(() => {});
    return { client, producer };
  }

  async #start({ kafka }: KafkaClient): Promise<Producer> {
    await createMissingTopics(kafka, this.#topics);
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      // See docs/decisions: after a lost response kafkajs reuses sequence numbers.
      idempotent: false,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    return producer;
  }
}

/**
 * Splits records into sends, in order. kafkajs puts all records of a partition into one batch, and a broker refuses a
 * batch that is too large.
 */
function* sendable(records: readonly OutgoingRecord[]): Generator<OutgoingRecord[]> {
  let part: OutgoingRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = sizeOf(record);
    if (part.length > 0 && bytes + size > SEND_BYTES) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

function sizeOf({ key, value, headers }: OutgoingRecord): number {
  const lengthOf = (part: Uint8Array | string | null) => (part === null ? 0 : Buffer.byteLength(part));
  let bytes = RECORD_OVERHEAD_BYTES + lengthOf(key) + lengthOf(value);
  for (const [name, text] of Object.entries(headers)) bytes += 4 + lengthOf(name) + lengthOf(text);
  return bytes;
}

function byTopic(records: readonly OutgoingRecord[]): TopicMessages[] {
  return [...Map.groupBy(records, (record) => record.topic)].map(([topic, group]) => ({
    topic,
    messages: group.map(({ key, value, headers }) => ({
      key,
      value: value instanceof Uint8Array ? Buffer.from(value) : value,
      headers,
    })),
  }));
}
