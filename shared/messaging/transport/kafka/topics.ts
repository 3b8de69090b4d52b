import { type Admin, type Kafka, KafkaJSAggregateError } from "kafkajs";
import type { Topic } from "../../contract/define.ts";
import { errorText } from "../../errors.ts";
import type { Logger } from "../../runtime.ts";

/** What a client does about topics that are missing. */
export interface TopicSetup {
  /** Whether it creates them. If not, it logs their names. */
  readonly create: boolean;
  /** The replication factor of new topics; by default that of the cluster. */
  readonly replication?: number;
  /** `min.insync.replicas` of new topics; by default that of the cluster. */
  readonly minInsyncReplicas?: number;
}

/** Lists of topics of which some are missing and have been logged: a client may connect often. */
const reported = new WeakSet<readonly Topic[]>();

/** A new topic is known to all brokers within milliseconds; a cluster under load may take longer. */
const METADATA_ATTEMPTS = 100;
const METADATA_INTERVAL_MS = 50;

/**
 * Creates those of the topics that are missing, or only logs their names. Several clients may do so at once. Topics that
 * exist are left as they are. A topic that the client may not describe looks as if it was missing; that it may not be
 * created either is logged and no error: the topic may exist, and others can be used.
 *
 * @throws when no broker answers
 */
export async function createMissingTopics(
  kafka: Kafka,
  topics: readonly Topic[],
  setup: TopicSetup | undefined,
  log: Logger,
): Promise<void> {
  if (topics.length === 0) return;
  const admin = kafka.admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic.name));
    if (missing.length === 0) return;
    if (setup?.create === false) {
      const names = missing.map(({ name }) => name);
      if (!reported.has(topics)) log.warn({ topics: names }, "topics are missing, or may not be described");
      reported.add(topics);
      return;
    }
    const created: string[] = [];
    for (const topic of missing) if (await create(admin, topic, setup, log)) created.push(topic.name);
    if (created.length > 0) await waitForMetadata(admin, created);
  } finally {
    await admin.disconnect();
  }
}

/** @returns whether the topic exists now, as far as the client may know */
async function create(
  admin: Admin,
  topic: Topic,
  setup: TopicSetup | undefined,
  log: Logger,
): Promise<boolean> {
  try {
    // Resolves to false, and does not reject, when another client was faster.
    await admin.createTopics({ waitForLeaders: false, topics: [newTopic(topic, setup ?? {})] });
    return true;
  } catch (error) {
    const errors: readonly unknown[] = error instanceof KafkaJSAggregateError ? error.errors : [error];
    if (!errors.some(isForbidden)) throw error;
    const reasons = errors.map(errorText).join("; ");
    log.warn({ topic: topic.name, error: reasons }, "a topic may neither be described nor created");
    return false;
  }
}

/** A topic of the given name, partitions and settings, as kafkajs creates it. */
export function newTopic(
  { name, partitions, config }: Topic,
  { replication, minInsyncReplicas }: Omit<TopicSetup, "create">,
) {
  const settings = {
    ...config,
    ...(minInsyncReplicas === undefined ? {} : { "min.insync.replicas": String(minInsyncReplicas) }),
  };
  return {
    topic: name,
    numPartitions: partitions,
    ...(replication === undefined ? {} : { replicationFactor: replication }),
    configEntries: Object.entries(settings).map(([setting, value]) => ({ name: setting, value })),
  };
}

/** kafkajs' types of the error codes TOPIC_AUTHORIZATION_FAILED (29) and CLUSTER_AUTHORIZATION_FAILED (31). */
function isForbidden(error: unknown): boolean {
  const type = error instanceof Error && "type" in error ? error.type : undefined;
  return type === "TOPIC_AUTHORIZATION_FAILED" || type === "CLUSTER_AUTHORIZATION_FAILED";
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

/** Deletes what the one partition of a topic has before an offset. @throws when the client may not, or no broker answers */
export async function deleteBefore(kafka: Kafka, topic: string, offset: number): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    // It loads what deleteTopicRecords needs to know of the topic, and does not ask for.
    const [log] = await admin.fetchTopicOffsets(topic);
    if (offset <= Number(log?.low)) return;
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(offset) }] });
  } finally {
    await admin.disconnect();
  }
}
