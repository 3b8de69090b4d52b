import type { Admin, Kafka } from "kafkajs";
import type { Topic } from "../../contract/topic.ts";

/** A new topic's leaders are known to all brokers within milliseconds; a cluster under load may take longer. */
const LEADERS_ATTEMPTS = 100;
const LEADERS_INTERVAL_MS = 50;

/**
 * Makes those of the topics that are missing, with the cluster's own replication factor. Several clients may do so
 * at once. Topics that exist are left as they are.
 *
 * @throws when no broker answers, or it refuses
 */
export async function createMissingTopics(kafka: Kafka, topics: readonly Topic[]): Promise<void> {
  if (topics.length === 0) return;
  const admin = kafka.admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic.name));
    if (missing.length === 0) return;
    // Resolves to false, and does not reject, when another client was faster.
    await admin.createTopics({
      waitForLeaders: false,
      topics: missing.map((topic) => ({
        topic: topic.name,
        numPartitions: topic.partitions,
        configEntries: Object.entries(topic.config).map(([name, value]) => ({ name, value })),
      })),
    });
    await untilKnown(
      admin,
      missing.map((topic) => topic.name),
    );
  } finally {
    await admin.disconnect();
  }
}

/** kafkajs waits for leaders too, but takes a broker that has not heard of the topic yet for a failure. */
async function untilKnown(admin: Admin, names: string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await admin.fetchTopicMetadata({ topics: names });
      return;
    } catch (error) {
      if (attempt === LEADERS_ATTEMPTS) throw error;
      await Bun.sleep(LEADERS_INTERVAL_MS);
    }
  }
}
