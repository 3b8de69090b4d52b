import type { Topic } from "../../contract/define.ts";
import type { Logger, Runtime } from "../../runtime.ts";
import type { Transport } from "../transport.ts";
import { KafkaClient, type KafkaSettings } from "./client.ts";
import { describeTopics } from "./describe.ts";
import { KafkaPublisher } from "./publisher.ts";
import { KafkaSubscription } from "./subscription.ts";
import { createMissingTopics } from "./topics.ts";

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

export { newTopic, type TopicSetup } from "./topics.ts";

export interface KafkaTransport extends Transport {
  /** Creates those of the topics that are missing. @throws when no broker answers */
  createTopics(): Promise<void>;
  /** Disconnects. Subscriptions have to be stopped before. */
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
  return {
    createTopics: async () => {
      const client = new KafkaClient(settings, log);
      await createMissingTopics(client.kafka, topics, settings.topics, log).finally(() => client.destroy());
    },
    hasTopic: (name) => topics.some((topic) => topic.name === name),
    partitionsOf: (name) => topics.find((topic) => topic.name === name)?.partitions,
    describeTopics: async () => {
      const client = new KafkaClient(settings, log);
      const described = await describeTopics(client.kafka, topics).finally(() => client.destroy());
      const byName = new Map(described.map((real) => [real.name, real]));
      return topics.flatMap((topic) => {
        const real = byName.get(topic.name);
        return real === undefined ? [] : [{ topic, real }];
      });
    },
    publish: (records) => publisher.publish(records),
    subscribe: (options) => new KafkaSubscription({ settings, topics, runtime, log }, options),
    close: () => publisher.close(),
  };
}
