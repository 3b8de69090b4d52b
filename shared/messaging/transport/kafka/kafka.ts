import type { Topic } from "../../contract/topic.ts";
import type { Logger, Runtime } from "../../runtime.ts";
import type { Publisher, Subscriber } from "../transport.ts";
import { KafkaClient, type KafkaSettings } from "./client.ts";
import { KafkaPublisher } from "./publisher.ts";
import { KafkaSubscription } from "./subscription.ts";
import { createMissingTopics } from "./topics.ts";

/*
 * The files whose names begin with `kafka` are the only ones that know kafkajs. They keep the transport's promises
 * with what that client really does, which is not always what one would hope; each place says so.
 */

export { connectTo, type KafkaSettings } from "./client.ts";

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
  log: Logger,
): KafkaTransport {
  const publisher = new KafkaPublisher(settings, topics, log);
  return {
    createTopics: async () => {
      const client = new KafkaClient(settings, log);
      await createMissingTopics(client.kafka, topics).finally(() => client.destroy());
    },
    publish: (records) => publisher.publish(records),
    subscribe: (options) => new KafkaSubscription({ settings, topics, runtime, log }, options),
    close: () => publisher.close(),
  };
}
