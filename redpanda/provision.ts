import { errorText, type Logger, silentLogger, type Topic } from "@distributed-messaging/messaging";
import {
  type Admin,
  KafkaClient,
  type KafkaSettings,
  newTopic,
  type TopicSetup,
} from "@distributed-messaging/messaging/kafka";

/** What provisioning changed, and the differences that it left. */
interface Provisioned {
  readonly created: readonly string[];
  /** One line for each partition count or setting that differs from the contract and was not changed. */
  readonly drift: readonly string[];
}

interface ProvisionOptions extends Omit<TopicSetup, "create"> {
  readonly log?: Logger;
  /** How long to retry while no broker answers, or fewer than `replication` do. */
  readonly timeoutMs?: number;
}

/** The topics could not be provisioned in time. */
export class ProvisionFailed extends Error {
  override readonly name = "ProvisionFailed";
}

const TIMEOUT_MS = 60_000;
const RETRY_MS = 250;
/** kafkajs' errors for an API, or a part of one, that the broker does not support. */
const UNSUPPORTED = /UNSUPPORTED_VERSION|KafkaJSServerDoesNotSupportApiKey|does not support/i;

/**
 * Creates missing topics. Deletes nothing, and changes neither a setting nor the number of partitions of an existing
 * topic: differences are reported. Idempotent, also when several processes do it at once.
 *
 * @throws ProvisionFailed
 */
export async function provision(
  settings: KafkaSettings,
  topics: readonly Topic[],
  options: ProvisionOptions = {},
): Promise<Provisioned> {
  const deadline = performance.now() + (options.timeoutMs ?? TIMEOUT_MS);
  const { kafka } = new KafkaClient(settings, options.log ?? silentLogger);
  for (;;) {
    const admin = kafka.admin();
    try {
      await admin.connect();
      return await bringUpToDate(admin, topics, options);
    } catch (error) {
      // Every error is retried: a broker that has just started may not know its controller yet.
      if (performance.now() > deadline) {
        throw new ProvisionFailed(
          `cannot create the topics at ${settings.brokers.join(", ")}: ${reasonOf(error)}`,
        );
      }
      await Bun.sleep(RETRY_MS);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}

/** Of several topics that cannot be created, kafkajs has the reasons in a list. */
function reasonOf(error: unknown): string {
  const listed: unknown = error instanceof Error && "errors" in error ? error.errors : undefined;
  const errors: readonly unknown[] = Array.isArray(listed) ? listed : [error];
  return [...new Set(errors.map(errorText))].join("; ");
}

async function bringUpToDate(
  admin: Admin,
  topics: readonly Topic[],
  setup: Omit<TopicSetup, "create">,
): Promise<Provisioned> {
  const { replication } = setup;
  const { brokers } = await admin.describeCluster();
  if (brokers.length < (replication ?? 1))
    throw new Error(`${brokers.length} of ${replication} brokers have joined the cluster`);
  const existing = new Set(await admin.listTopics());
  const created = topics.filter(({ name }) => !existing.has(name));
  if (created.length > 0) {
    await admin.createTopics({
      waitForLeaders: true,
      topics: created.map((topic) => newTopic(topic, setup)),
    });
  }
  const { topics: metadata } = await admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) });
  const drift = [
    ...metadata.flatMap((topic) => shapeDrift(topic, topics, replication)),
    ...(await configDrift(admin, topics)),
  ];
  return { created: created.map(({ name }) => name), drift };
}

type TopicMetadata = Awaited<ReturnType<Admin["fetchTopicMetadata"]>>["topics"][number];

function shapeDrift(
  { name, partitions }: TopicMetadata,
  topics: readonly Topic[],
  replication: number | undefined,
): string[] {
  const wanted = topics.find((topic) => topic.name === name)?.partitions ?? 0;
  const replicas = Math.min(...partitions.map((partition) => partition.replicas.length));
  return [
    ...(partitions.length > wanted
      ? [`${name} has ${partitions.length} partitions instead of ${wanted}: the others are read, not written`]
      : []),
    ...(partitions.length < wanted
      ? [
          `${name} has ${partitions.length} partitions instead of ${wanted}, and is not written. Add them when all ` +
            "that was sent is read: with them, a key may go to another partition",
        ]
      : []),
    ...(replicas < (replication ?? 1) ? [`${name} has ${replicas} replicas instead of ${replication}`] : []),
  ];
}

/** DescribeConfigs resource type of a topic, https://kafka.apache.org/protocol#The_Messages_DescribeConfigs */
const TOPIC_RESOURCE = 2;

async function configDrift(admin: Admin, topics: readonly Topic[]): Promise<string[]> {
  try {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: topics.map(({ name, config }) => ({
        type: TOPIC_RESOURCE,
        name,
        configNames: Object.keys(config),
      })),
    });
    return topics.flatMap(({ name, config }) => {
      const found = resources.find(({ resourceName }) => resourceName === name)?.configEntries ?? [];
      return Object.entries(config).flatMap(([setting, wanted]) => {
        const value = found.find(({ configName }) => configName === setting)?.configValue;
        return value === undefined || value === wanted
          ? []
          : [`${name}: ${setting} is ${value} instead of ${wanted}`];
      });
    });
  } catch (error) {
    if (!(error instanceof Error && UNSUPPORTED.test(`${error.name} ${error.message}`))) throw error;
    return [];
  }
}

/** One line for each change and each difference. */
export function describeProvisioned({ created, drift }: Provisioned): string[] {
  return [...created.map((name) => `created ${name}`), ...drift.map((line) => `not changed: ${line}`)];
}
