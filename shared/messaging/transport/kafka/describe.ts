import type { Kafka } from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import type { TopicDescription } from "../transport.ts";
import { failureScope } from "./errors.ts";

/** DescribeConfigs resource type of a topic, https://kafka.apache.org/protocol#The_Messages_DescribeConfigs */
const TOPIC_RESOURCE = 2;

/** The topics as the cluster has them. @throws when no broker answers */
export async function describeTopics(
  kafka: Kafka,
  topics: readonly Topic[],
): Promise<readonly TopicDescription[]> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const { brokers } = await admin.describeCluster();
    const described: TopicDescription[] = [];
    for (const { name } of topics) {
      const found = await allowed(() => admin.fetchTopicMetadata({ topics: [name] }));
      const partitions = found?.topics[0]?.partitions;
      const configs = await allowed(() =>
        admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC_RESOURCE, name }] }),
      );
      const entries = configs?.resources[0]?.configEntries ?? [];
      described.push({
        name,
        brokers: brokers.length,
        ...(partitions === undefined
          ? {}
          : {
              partitions: partitions.length,
              replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
            }),
        ...(entries.length === 0
          ? {}
          : { config: Object.fromEntries(entries.map((entry) => [entry.configName, entry.configValue])) }),
      });
    }
    return described;
  } finally {
    await admin.disconnect();
  }
}

/** Undefined when the topic does not exist, or may not be described. */
async function allowed<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (failureScope(error) === "topic") return undefined;
    throw error;
  }
}
