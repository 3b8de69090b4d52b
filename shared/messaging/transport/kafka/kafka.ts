import type { Kafka } from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import type { Logger, Runtime } from "../../runtime.ts";
import type { Transport } from "../transport.ts";
import { KafkaClient, type KafkaSettings } from "./client.ts";
import { describeTopics } from "./describe.ts";
import { KafkaFollower } from "./follower.ts";
import { KafkaPublisher } from "./publisher.ts";
import { KafkaSubscription } from "./subscription.ts";
import { createMissingTopics, deleteBefore } from "./topics.ts";

/*
 * Only the files of this folder import kafkajs. They keep the transport's promises with what kafkajs really does;
 * where that is not what its documentation says, a comment names the difference.
 */

export {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  type Admin,
  ResourcePatternTypes,
} from "kafkajs";
export { KafkaClient, type KafkaSettings, type SaslCredentials, type TlsCredentials } from "./client.ts";
export { SESSION_TIMEOUT_MS } from "./consumer.ts";
export { KafkaInspector, type PartitionState, type StoredRecord, type TopicState } from "./inspector.ts";

export { KafkaLogs } from "./logs.ts";
export { newTopic, type TopicSetup } from "./topics.ts";
export { LogVerifier, type UnreadableRange } from "./verify.ts";

export interface KafkaTransport extends Transport {
  /** Creates those of the topics that are missing. @throws when no broker answers */
  createTopics(): Promise<void>;
  /** Disconnects: what is asked or sent at the moment fails. Subscriptions have to be stopped before. */
  close(): Promise<void>;
}

/**
 * A transport over a Kafka-protocol cluster. It connects at the first use and reconnects whenever it has to. While the
 * broker is unavailable, `publish` rejects and subscriptions wait.
 *
 * @param topics are created when they are missing, also after the cluster lost its data, unless `settings.topics` differs
 */
export function kafkaTransport(
  settings: KafkaSettings,
  topics: readonly Topic[],
  runtime: Runtime,
  log: Logger,
): KafkaTransport {
  const publisher = new KafkaPublisher(settings, topics, log);
  /** Of what is asked at the moment. */
  const clients = new Set<KafkaClient>();
  const ask = async <T>(question: (kafka: Kafka) => Promise<T>): Promise<T> => {
    const client = new KafkaClient(settings, log);
    clients.add(client);
    try {
      return await question(client.kafka);
    } finally {
      clients.delete(client);
      client.destroy();
    }
  };
  const createTopics = (kafka: Kafka) => createMissingTopics(kafka, topics, settings.topics, log);
  return {
    createTopics: () => ask(createTopics),
    hasTopic: (name) => topics.some((topic) => topic.name === name),
    partitionsOf: (name) => topics.find((topic) => topic.name === name)?.partitions,
    describeTopics: async () => {
      const described = await ask(async (kafka) => {
        // At a first start they would be missing otherwise.
        await createTopics(kafka);
        return describeTopics(kafka, topics);
      });
      const byName = new Map(described.map((real) => [real.name, real]));
      return topics.flatMap((topic) => {
        const real = byName.get(topic.name);
        return real === undefined ? [] : [{ topic, real }];
      });
    },
    publish: (records) => publisher.publish(records),
    subscribe: (options) => new KafkaSubscription({ settings, topics, runtime, log }, options),
    follow: (options) => new KafkaFollower({ settings, topics, runtime, log }, options),
    trim: (topic, before) => ask((kafka) => deleteBefore(kafka, topic, before)),
    close: async () => {
      for (const client of clients) client.destroy();
      await publisher.close();
    },
  };
}
