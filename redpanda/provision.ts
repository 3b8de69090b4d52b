import { allTopics } from "@distributed-messaging/contracts";
import { type Logger, silentLogger, type Topic } from "@distributed-messaging/messaging";
import { errorText } from "@distributed-messaging/messaging/errors";
import { connectTo, type KafkaSettings } from "@distributed-messaging/messaging/kafka";
import { type TProperties, Type } from "@sinclair/typebox";

/** What provisioning has done, and what it has found and left as it is. */
export interface Provisioned {
  readonly created: readonly string[];
  /** Topics that got the partitions they lacked. */
  readonly grown: readonly string[];
  /** One line for each difference that is left: partitions or settings that somebody changed by hand. */
  readonly drift: readonly string[];
}

export interface ProvisionOptions {
  readonly topics?: readonly Topic[];
  readonly log?: Logger;
  /** On how many brokers each record is kept; the broker's own default if it is not given. */
  readonly replication?: number;
  /** For how long to try again: while no broker answers, or fewer than `replication` do. */
  readonly timeoutMs?: number;
}

/** No broker made the topics in time. */
export class ProvisionFailed extends Error {
  override readonly name = "ProvisionFailed";
}

type Admin = ReturnType<ReturnType<typeof connectTo>["admin"]>;

const TIMEOUT_MS = 60_000;
const RETRY_MS = 250;
/** kafkajs' names for what a broker says that does not know an API, or a part of it. */
const UNSUPPORTED = /UNSUPPORTED_VERSION|KafkaJSServerDoesNotSupportApiKey|does not support/i;

/**
 * Brings the cluster's topics to what shared/contracts/topics.ts says: makes the missing ones, adds missing
 * partitions. Nothing is ever taken away, and no setting of an existing topic is changed: that is reported.
 * Doing it again, also at the same time from elsewhere, changes nothing.
 *
 * @throws ProvisionFailed when no broker did so in time
 */
export async function provision(
  settings: KafkaSettings,
  options: ProvisionOptions = {},
): Promise<Provisioned> {
  const deadline = performance.now() + (options.timeoutMs ?? TIMEOUT_MS);
  const kafka = connectTo(settings, options.log ?? silentLogger);
  for (;;) {
    const admin = kafka.admin();
    try {
      await admin.connect();
      return await bringUpToDate(admin, options.topics ?? allTopics, options.replication);
    } catch (error) {
      // A broker that has just started may know no controller yet: whatever failed is asked again.
      if (performance.now() > deadline) {
        const reason = errorText(error);
        throw new ProvisionFailed(`no broker at ${settings.brokers.join(", ")} made the topics: ${reason}`);
      }
      await Bun.sleep(RETRY_MS);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}

async function bringUpToDate(
  admin: Admin,
  topics: readonly Topic[],
  replication: number | undefined,
): Promise<Provisioned> {
  const { brokers } = await admin.describeCluster();
  if (brokers.length < (replication ?? 1))
    throw new Error(`${brokers.length} of ${replication} brokers are there yet`);
  const existing = new Set(await admin.listTopics());
  const created = topics.filter(({ name }) => !existing.has(name));
  if (created.length > 0) {
    await admin.createTopics({
      waitForLeaders: true,
      topics: created.map(({ name, partitions, config }) => ({
        topic: name,
        numPartitions: partitions,
        ...(replication === undefined ? {} : { replicationFactor: replication }),
        configEntries: Object.entries(config).map(([setting, value]) => ({ name: setting, value })),
      })),
    });
  }
  const { topics: metadata } = await admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) });
  const counts = new Map(metadata.map(({ name, partitions }) => [name, partitions.length]));
  const grown = topics.filter(({ name, partitions }) => (counts.get(name) ?? partitions) < partitions);
  if (grown.length > 0) {
    await admin.createPartitions({
      topicPartitions: grown.map(({ name, partitions }) => ({ topic: name, count: partitions })),
    });
  }
  const found = [
    ...metadata.flatMap((topic) => shapeThatDiffers(topic, topics, replication)),
    ...(await settingsThatDiffer(admin, topics)),
  ];
  return { created: created.map(nameOf), grown: grown.map(nameOf), drift: found };
}

type TopicMetadata = Awaited<ReturnType<Admin["fetchTopicMetadata"]>>["topics"][number];

function shapeThatDiffers(
  { name, partitions }: TopicMetadata,
  topics: readonly Topic[],
  replication: number | undefined,
): string[] {
  const wanted = topics.find((topic) => topic.name === name)?.partitions ?? 0;
  const replicas = Math.min(...partitions.map((partition) => partition.replicas.length));
  return [
    ...(partitions.length > wanted ? [`${name} has ${partitions.length} partitions, not ${wanted}`] : []),
    ...(replicas < (replication ?? 1) ? [`${name} is kept ${replicas} times, not ${replication}`] : []),
  ];
}

/** DescribeConfigs resource type of a topic, https://kafka.apache.org/protocol#The_Messages_DescribeConfigs */
const TOPIC_RESOURCE = 2;

async function settingsThatDiffer(admin: Admin, topics: readonly Topic[]): Promise<string[]> {
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
          : [`${name}: ${setting} is ${value}, not ${wanted}`];
      });
    });
  } catch (error) {
    if (!(error instanceof Error && UNSUPPORTED.test(`${error.name} ${error.message}`))) throw error;
    return [];
  }
}

function nameOf({ name }: Topic): string {
  return name;
}

/** One line for each thing that was done or found. */
export function describeProvisioned({ created, grown, drift }: Provisioned): string[] {
  return [
    ...created.map((name) => `made ${name}`),
    ...grown.map((name) => `added partitions to ${name}`),
    ...drift.map((line) => `left as it is: ${line}`),
  ];
}

function ProvisionConfig<Common extends TProperties>(common: Common) {
  return Type.Object({
    ...common,
    TOPIC_REPLICATION: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
  });
}

async function main(): Promise<number> {
  // Only a run by itself needs the services' settings; who imports this file is spared the web server.
  const { commonSettings, ConfigError, loadConfig } = await import("@distributed-messaging/service/config");
  const { kafkaSettings } = await import("@distributed-messaging/service/defaults");
  try {
    const config = loadConfig(ProvisionConfig(commonSettings), process.env, "provision");
    const replication = config.TOPIC_REPLICATION;
    const options = replication === undefined ? {} : { replication };
    const done = describeProvisioned(await provision(kafkaSettings("provision", config), options));
    for (const line of done.length === 0 ? ["every topic is as it should be"] : done) console.log(line);
    return 0;
  } catch (error) {
    if (!(error instanceof ProvisionFailed || error instanceof ConfigError)) throw error;
    for (const line of error.message.split("\n")) console.error(`provision: ${line}`);
    return 1;
  }
}

if (import.meta.main) process.exit(await main());
