import type { Topic } from "@distributed-messaging/contracts";
import { Kafka, logLevel, Partitioners, type Producer, type SASLOptions } from "kafkajs";
import { atMost, FAREWELL_MS, KafkaSubscription } from "./kafka-subscription.ts";
import type { Log, Runtime } from "./runtime.ts";
import type { OutgoingRecord, Publisher, Subscriber } from "./transport.ts";

/*
 * This file and kafka-subscription.ts are the only ones that know kafkajs. They keep the transport's promises
 * with what that client really does, which is not always what one would hope; each place says so.
 */

export interface KafkaSettings {
  /** `host:port` of any brokers of the cluster. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl?: boolean;
  readonly sasl?: SASLOptions;
}

/** A request that takes longer has gone to a broker that is no longer there. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface KafkaTransport extends Publisher, Subscriber {
  /** Makes those of the topics that are missing. @throws when no broker answers */
  createTopics(): Promise<void>;
  /** Disconnects. Subscriptions are stopped by whoever made them, before. */
  close(): Promise<void>;
}

/**
 * Speaks to a Kafka-protocol cluster. Connects when it is first needed and again whenever it has to: a broker
 * that is away delays its users, it does not fail them.
 *
 * @param topics are made when they are missing, so that a cluster that lost its disk is usable again
 */
export function kafkaTransport(
  settings: KafkaSettings,
  topics: readonly Topic[],
  runtime: Runtime,
  log: Log,
): KafkaTransport {
  const kafka = connectTo(settings, log);
  const createTopics = () => createMissingTopics(kafka, topics);
  const publisher = new KafkaPublisher(kafka, createTopics);
  return {
    createTopics,
    publish: (records) => publisher.publish(records),
    subscribe: (options) => new KafkaSubscription(kafka, createTopics, options, runtime, log),
    close: () => publisher.close(),
  };
}

/** A kafkajs client with the settings that the whole kit uses. */
export function connectTo(settings: KafkaSettings, log: Log): Kafka {
  return new Kafka({
    clientId: settings.clientId,
    brokers: [...settings.brokers],
    ssl: settings.ssl ?? false,
    ...(settings.sasl === undefined ? {} : { sasl: settings.sasl }),
    connectionTimeout: 2_000,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Few and quick: who is told of a failure early can say so; the retrying is done by those who know why.
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 3 },
    logLevel: logLevel.INFO,
    // A broker that is away makes kafkajs shout at every attempt. The kit says it once, in its own words.
    logCreator: () => (entry) => {
      const { message, timestamp: _, ...fields } = entry.log;
      log.debug({ kafkajs: entry.namespace, ...fields }, message);
    },
  });
}

async function createMissingTopics(kafka: Kafka, topics: readonly Topic[]): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic.name));
    if (missing.length === 0) return;
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map((topic) => ({
        topic: topic.name,
        numPartitions: topic.partitions,
        configEntries: Object.entries(topic.config).map(([name, value]) => ({ name, value })),
      })),
    });
  } finally {
    await admin.disconnect();
  }
}

class KafkaPublisher implements Publisher {
  readonly #kafka: Kafka;
  readonly #createTopics: () => Promise<void>;
  #producer: Producer | undefined;

  constructor(kafka: Kafka, createTopics: () => Promise<void>) {
    this.#kafka = kafka;
    this.#createTopics = createTopics;
  }

  async publish(records: readonly OutgoingRecord[]): Promise<void> {
    try {
      this.#producer ??= await this.#connect();
      await this.#producer.sendBatch({
        acks: -1,
        timeout: REQUEST_TIMEOUT_MS,
        topicMessages: byTopic(records),
      });
    } catch (error) {
      // Whatever went wrong, the next attempt begins with a fresh connection and looks for its topics.
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    if (producer !== undefined) await atMost(FAREWELL_MS, producer.disconnect());
  }

  async #connect(): Promise<Producer> {
    await this.#createTopics();
    const producer = this.#kafka.producer({
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

function byTopic(records: readonly OutgoingRecord[]) {
  return [...Map.groupBy(records, (record) => record.topic)].map(([topic, group]) => ({
    topic,
    messages: group.map(({ key, value, headers }) => ({
      key,
      value: value instanceof Uint8Array ? Buffer.from(value) : value,
      headers,
    })),
  }));
}
