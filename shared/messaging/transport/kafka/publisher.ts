import { Partitioners, type Producer } from "kafkajs";
import type { Topic } from "../../contract/topic.ts";
import type { Logger } from "../../runtime.ts";
import type { OutgoingRecord, Publisher } from "../transport.ts";
import { atMost, DISCONNECT_TIMEOUT_MS, KafkaClient, type KafkaSettings, within } from "./client.ts";
import { byTopic, sendable } from "./records.ts";
import { createMissingTopics } from "./topics.ts";

/** kafkajs tries each request again and again. Whoever waits for the answer wants one sooner. */
const SEND_TIMEOUT_MS = 15_000;

/** Connects at the first publish, and anew after one that failed. */
export class KafkaPublisher implements Publisher {
  readonly #connect: () => Connection;
  #connection: Connection | undefined;
  #underWay = 0;
  #closed = false;

  constructor(settings: KafkaSettings, topics: readonly Topic[], log: Logger) {
    this.#connect = () => new Connection(new KafkaClient(settings, log), topics);
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#closed) throw new Error("the publisher is closed");
    for (const part of sendable(records)) await this.#send(part);
  }

  /** Says goodbye to the broker, unless it owes an answer, and lets go. What is under way fails. */
  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection;
    this.#connection = undefined;
    if (this.#underWay > 0) connection?.abandon();
    else await connection?.close();
  }

  async #send(records: readonly OutgoingRecord[]): Promise<void> {
    this.#connection ??= this.#connect();
    const connection = this.#connection;
    this.#underWay += 1;
    try {
      await within(SEND_TIMEOUT_MS, "sending to the broker", connection.send(records));
    } catch (error) {
      // Whatever went wrong, the next attempt begins with a fresh connection and looks for its topics.
      if (this.#connection === connection) this.#connection = undefined;
      connection.abandon();
      throw error;
    } finally {
      this.#underWay -= 1;
    }
  }
}

class Connection {
  readonly #client: KafkaClient;
  readonly #ready: Promise<Producer>;

  constructor(client: KafkaClient, topics: readonly Topic[]) {
    this.#client = client;
    this.#ready = this.#open(topics);
    this.#ready.catch(() => {});
  }

  async send(records: readonly OutgoingRecord[]): Promise<void> {
    const producer = await this.#ready;
    await producer.sendBatch({ acks: -1, timeout: SEND_TIMEOUT_MS, topicMessages: byTopic(records) });
  }

  async close(): Promise<void> {
    await atMost(
      DISCONNECT_TIMEOUT_MS,
      this.#ready.then((producer) => producer.disconnect()),
    );
    this.abandon();
  }

  abandon(): void {
    this.#client.destroy();
  }

  async #open(topics: readonly Topic[]): Promise<Producer> {
    const { kafka } = this.#client;
    await createMissingTopics(kafka, topics);
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      // Not idempotent, see docs/decisions: kafkajs reuses sequence numbers after a lost response.
      idempotent: false,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    return producer;
  }
}
