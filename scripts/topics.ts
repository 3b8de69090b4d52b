import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaInspector, type TopicState } from "@distributed-messaging/messaging/kafka";
import {
  ConfigError,
  commonSettings,
  kafkaSettings,
  loadConfig,
} from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";
import { runCommand } from "./command/command.ts";
import { table } from "./command/table.ts";
import { readSettings, UsageError } from "./start/settings.ts";

/**
 * `bun run topics`: every topic with the offsets of its partitions (earliest..latest), and the lag of every consumer
 * group by the offsets that it committed to the broker. The offsets that a service goes by are in its own database; it
 * commits them to the broker, for display, a moment later.
 */
async function main(): Promise<number> {
  const settings = brokerSettings();
  const inspector = new KafkaInspector(settings, "all", "all", silentLogger);
  try {
    const topics = await inspector.topics().catch(() => {
      throw new UsageError(
        `no answer from the broker at ${settings.brokers.join(", ")}; does the store run (npm start)?`,
      );
    });
    console.log(table(["TOPIC", "RECORDS", "PARTITIONS"], topics.map(topicRow)));
    console.log(`\n${table(["GROUP", "TOPIC", "BEHIND"], groupRows(topics))}`);
    return 0;
  } finally {
    await inspector.close();
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

function topicRow({ name, partitions }: TopicState): string[] {
  const records = partitions.reduce((sum, { earliest, latest }) => sum + latest - earliest, 0);
  return [
    name,
    String(records),
    partitions.map(({ earliest, latest }) => `${earliest}..${latest}`).join("  "),
  ];
}

function groupRows(topics: readonly TopicState[]): string[][] {
  const rows = topics.flatMap(({ name, groups }) =>
    groups.map(({ group, lag }) => [group, name, String(lag)]),
  );
  return rows.sort(([one = ""], [other = ""]) => (one < other ? -1 : one > other ? 1 : 0));
}

await runCommand("topics", main);
