import type { Admin, Kafka } from "kafkajs";
import type { Topic } from "../../contract/define.ts";

/** A new topic is known to all brokers within milliseconds; a cluster under load may take longer. */
const METADATA_ATTEMPTS = 100;
const METADATA_INTERVAL_MS = 50;

/**
 * Creates those of the topics that are missing, with the cluster's default replication factor. Several clients may do
 * so at once. Topics that exist are left as they are.
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
    await waitForMetadata(
      admin,
      missing.map((topic) => topic.name),
    );
  } finally {
    await admin.disconnect();
  }
}

/**
 * Waits until a broker knows the topics. Not by `waitForLeaders`: there kafkajs fails when a broker does not know the
 * topic yet.
 */
async function waitForMetadata(admin: Admin, names: string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await admin.fetchTopicMetadata({ topics: names });
      return;
    } catch (error) {
      if (attempt === METADATA_ATTEMPTS) throw error;
      await Bun.sleep(METADATA_INTERVAL_MS);
    }
  }
}
