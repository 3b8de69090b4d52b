import { silentLogger } from "@distributed-messaging/messaging";
import { connectTo } from "@distributed-messaging/messaging/kafka";
import { ConfigError, commonSettings, loadConfig } from "@distributed-messaging/service/config";
import { kafkaSettings } from "@distributed-messaging/service/defaults";
import { Type } from "@sinclair/typebox";
import { runCommand } from "./command/command.ts";
import { table } from "./command/table.ts";
import { readSettings, UsageError } from "./start/settings.ts";

/**
 * `bun run topics`: every topic with the offsets of its partitions (earliest..latest), and how far behind every
 * consumer group is. A service keeps the offsets that count in its own database; what it tells the broker, and is
 * shown here, follows a moment later.
 */

type Admin = ReturnType<ReturnType<typeof connectTo>["admin"]>;

interface PartitionOffsets {
  readonly partition: number;
  readonly earliest: number;
  readonly latest: number;
}
type OffsetsByTopic = ReadonlyMap<string, readonly PartitionOffsets[]>;

async function main(): Promise<number> {
  const settings = brokerSettings();
  const admin = connectTo(settings, silentLogger).admin();
  try {
    await admin.connect();
  } catch {
    throw new UsageError(
      `no answer from the broker at ${settings.brokers.join(", ")}; does the store run (npm start)?`,
    );
  }
  try {
    const topics = await offsetsByTopic(admin);
    console.log(table(["TOPIC", "RECORDS", "PARTITIONS"], topicRows(topics)));
    console.log(`\n${table(["GROUP", "TOPIC", "BEHIND"], await groupRows(admin, topics))}`);
    return 0;
  } finally {
    await admin.disconnect();
  }
}

/** KAFKA_BROKERS; without it, the embedded broker of `npm start`. */
function brokerSettings() {
  const { ports } = readSettings(process.env);
  const env = {
    ...process.env,
    KAFKA_BROKERS: process.env.KAFKA_BROKERS?.trim() || `127.0.0.1:${ports.broker}`,
  };
  try {
    return kafkaSettings("topics", loadConfig(Type.Object(commonSettings), env, "topics"));
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message);
    throw error;
  }
}

async function offsetsByTopic(admin: Admin): Promise<OffsetsByTopic> {
  const names = (await admin.listTopics()).toSorted();
  const entries = await Promise.all(
    names.map(async (name) => {
      const offsets = (await admin.fetchTopicOffsets(name)).map(({ partition, low, high }) => ({
        partition,
        earliest: Number(low),
        latest: Number(high),
      }));
      return [name, offsets.toSorted((one, other) => one.partition - other.partition)] as const;
    }),
  );
  return new Map(entries);
}

function topicRows(topics: OffsetsByTopic): string[][] {
  return [...topics].map(([name, partitions]) => {
    const records = partitions.reduce((sum, { earliest, latest }) => sum + latest - earliest, 0);
    return [
      name,
      String(records),
      partitions.map(({ earliest, latest }) => `${earliest}..${latest}`).join("  "),
    ];
  });
}

async function groupRows(admin: Admin, topics: OffsetsByTopic): Promise<string[][]> {
  const { groups } = await admin.listGroups();
  const ids = groups.map(({ groupId }) => groupId).toSorted();
  const rows = await Promise.all(
    ids.map(async (groupId) => {
      const committed = await admin.fetchOffsets({ groupId, topics: [...topics.keys()] });
      return committed.flatMap(({ topic, partitions }) => {
        const known = partitions.filter(({ offset }) => Number(offset) >= 0);
        if (known.length === 0) return [];
        const behind = (topics.get(topic) ?? []).map(({ partition, earliest, latest }) => {
          const offset = Number(known.find((one) => one.partition === partition)?.offset ?? earliest);
          return Math.max(0, latest - Math.max(offset, earliest));
        });
        return [[groupId, topic, String(behind.reduce((sum, one) => sum + one, 0))]];
      });
    }),
  );
  return rows.flat();
}

await runCommand("topics", main);
