import {
  type ICustomPartitioner,
  Partitioners,
  type PartitionMetadata,
  type Producer,
  type RecordMetadata,
  type TopicMessages,
} from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import { errorText } from "../../errors.ts";
import type { Logger } from "../../runtime.ts";
import {
  type OutgoingRecord,
  PublishError,
  type Publisher,
  type PublishFailure,
  recordBytes,
  topicPartition,
} from "../transport.ts";
import { KafkaClient, type KafkaSettings, within } from "./client.ts";
import { errorOfCode, failureScope, TooFewPartitions } from "./errors.ts";
import { keyHash, ProducedMessage } from "./produce.ts";
import { createMissingTopics } from "./topics.ts";

/** kafkajs retries each request; this bounds them together. */
const SEND_TIMEOUT_MS = 15_000;
/** Brokers take about 1 MiB in one batch of a partition, unless configured otherwise (`max.message.bytes`). */
const SEND_BYTES = 800 * 1024;

/** How often a publish is tried whose failures may pass, and the pause after the first try; each further one is longer. */
const TRANSIENT_ATTEMPTS = 5;
const TRANSIENT_PAUSE_MS = 100;

const UNSENT: PublishFailure = { scope: "unsent", error: "an earlier record failed" };

interface Connection {
  readonly client: KafkaClient;
  readonly producer: Promise<Producer>;
  /** Sends that have not ended. */
  pending: number;
}

/** Connects at the first publish, and again after one that failed. */
export class KafkaPublisher implements Publisher {
  readonly #settings: KafkaSettings;
  readonly #topics: readonly Topic[];
  readonly #log: Logger;
  #connection: Connection | undefined;
  /** Connections on which a send has failed, with others that have not ended. */
  readonly #failed = new Set<Connection>();
  #closed = false;

  constructor(settings: KafkaSettings, topics: readonly Topic[], log: Logger) {
    this.#settings = settings;
    this.#topics = topics;
    this.#log = log;
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    let pending = records;
    for (let attempt = 1; ; attempt += 1) {
      const failures = await this.#publishOnce(pending);
      if (failures.size === 0) return;
      // For example, the leader of a new partition is not known yet. What was stored is not sent again.
      const mayPass = [...failures.values()].every(
        ({ scope }) => scope === "transient" || scope === "unsent",
      );
      if (!mayPass || attempt === TRANSIENT_ATTEMPTS) throw new PublishError(failures);
      pending = pending.filter((record) => failures.has(record));
      await Bun.sleep(TRANSIENT_PAUSE_MS * attempt);
    }
  }

  async #publishOnce(records: readonly OutgoingRecord[]): Promise<Map<OutgoingRecord, PublishFailure>> {
    if (this.#closed) throw new Error("the publisher is closed");
    const failures = new Map<OutgoingRecord, PublishFailure>();
    for (const part of sendable(records)) {
      if (failures.size === 0) await this.#sendPart(part, failures);
      else for (const record of part) failures.set(record, UNSENT);
    }
    return failures;
  }

  /** Disconnects. Sends that are pending fail. */
  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection;
    this.#connection = undefined;
    for (const { client } of this.#failed) client.destroy();
    if (connection !== undefined && connection.pending > 0) connection.client.destroy();
    else await connection?.client.close(async () => (await connection.producer).disconnect());
  }

  /**
   * @param failures gets the records that were not stored
   * @throws when each of them may have been stored
   */
  async #sendPart(
    records: readonly OutgoingRecord[],
    failures: Map<OutgoingRecord, PublishFailure>,
  ): Promise<void> {
    try {
      await this.#send(records, failures);
    } catch (error) {
      // Of a topic that is refused, kafkajs gets no metadata; then it sends nothing, and does not say which topic it is.
      const scope = failureScope(error);
      if (scope !== "topic" && scope !== "held") {
        const address = `the broker at ${this.#settings.brokers.join(", ")}`;
        throw new Error(`${address}: ${errorText(error)}`, { cause: error });
      }
      const topics = [...Map.groupBy(records, (record) => record.topic).values()];
      if (topics.length > 1) for (const one of topics) await this.#sendPart(one, failures);
      else for (const record of records) failures.set(record, { scope, error: errorText(error) });
    }
  }

  async #send(
    records: readonly OutgoingRecord[],
    failures: Map<OutgoingRecord, PublishFailure>,
  ): Promise<void> {
    this.#connection ??= this.#connect();
    const connection = this.#connection;
    connection.pending += 1;
    let isUsable = false;
    try {
      const sent = new SentMessages(records);
      const sending = connection.producer.then(async (producer) => {
        const topicMessages = sent.topicMessages();
        const results = await producer.sendBatch({ acks: -1, timeout: SEND_TIMEOUT_MS, topicMessages });
        return sent.failures(results);
      });
      const failed = await within(SEND_TIMEOUT_MS, "sending to the broker", sending);
      for (const [record, failure] of failed) failures.set(record, failure);
      isUsable = [...failed.values()].every(({ scope }) => scope === "record");
    } finally {
      connection.pending -= 1;
      if (!isUsable) {
        // Whatever the reason, the next attempt opens a new connection and looks for its topics.
        if (this.#connection === connection) this.#connection = undefined;
        this.#failed.add(connection);
      }
      // Sends at the same time are not failed with it.
      if (connection.pending === 0 && this.#failed.delete(connection)) connection.client.destroy();
    }
  }

  #connect(): Connection {
    const client = new KafkaClient(this.#settings, this.#log);
    const producer = this.#start(client);
    producer.catch(() => {});
    return { client, producer, pending: 0 };
  }

  async #start({ kafka }: KafkaClient): Promise<Producer> {
    await createMissingTopics(kafka, this.#topics, this.#settings.topics, this.#log);
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      // See docs/decisions: after a lost response kafkajs reuses sequence numbers.
      idempotent: false,
      maxInFlightRequests: 1,
      createPartitioner: () => this.#partitioner(),
    });
    await producer.connect();
    return producer;
  }

  /** Chooses the partitions that Kafka's own clients choose, among those with which the topic is defined. */
  #partitioner(): ReturnType<ICustomPartitioner> {
    const ofNoKey = Partitioners.DefaultPartitioner();
    // Metadata is an array for each topic, until it is fetched again.
    const checked = new WeakMap<PartitionMetadata[], PartitionMetadata[]>();
    return ({ topic, partitionMetadata, message }) => {
      let defined = checked.get(partitionMetadata);
      if (defined === undefined) {
        defined = this.#defined(topic, partitionMetadata);
        checked.set(partitionMetadata, defined);
      }
      const partition =
        typeof message.key === "string"
          ? keyHash(message.key) % defined.length
          : ofNoKey({ topic, partitionMetadata: defined, message });
      if (message instanceof ProducedMessage) message.sentTo = partition;
      return partition;
    };
  }

  /**
   * Those partitions that the topic is defined with. The partition of a key follows from their number; partitions that
   * were added to the topic must not change it while earlier records are unread.
   *
   * @throws TooFewPartitions
   */
  #defined(name: string, existing: PartitionMetadata[]): PartitionMetadata[] {
    const count = this.#topics.find((topic) => topic.name === name)?.partitions ?? existing.length;
    const defined = existing.filter(({ partitionId }) => partitionId < count);
    if (defined.length === count) return defined;
    throw new TooFewPartitions(`${name} has ${existing.length} partitions instead of ${count}`);
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
    const size = recordBytes(record);
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

/** Records as kafkajs takes them. */
class SentMessages {
  readonly #sent: readonly ProducedMessage[];

  constructor(records: readonly OutgoingRecord[]) {
    this.#sent = records.map((record) => new ProducedMessage(record));
  }

  topicMessages(): TopicMessages[] {
    const byTopic = Map.groupBy(this.#sent, ({ record }) => record.topic);
    return [...byTopic].map(([topic, messages]) => ({ topic, messages }));
  }

  /** What the broker answered for the partitions of the records, where it is an error. */
  failures(results: readonly RecordMetadata[]): Map<OutgoingRecord, PublishFailure> {
    const codes = new Map(
      results.map(({ topicName, partition, errorCode }) => [topicPartition(topicName, partition), errorCode]),
    );
    const failures = new Map<OutgoingRecord, PublishFailure>();
    for (const { record, sentTo } of this.#sent) {
      const code = sentTo === undefined ? undefined : codes.get(topicPartition(record.topic, sentTo));
      if (code === 0) continue;
      const error =
        code === undefined ? new Error("the broker's response lacks a partition") : errorOfCode(code);
      failures.set(record, { scope: failureScope(error), error: errorText(error) });
    }
    return failures;
  }
}
