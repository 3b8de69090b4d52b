import { errorText, silentLogger } from "@distributed-messaging/messaging";
import { KafkaInspector, type KafkaSettings, type TopicState } from "@distributed-messaging/messaging/kafka";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { Type } from "@sinclair/typebox";
import { runCommand, table, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run topics

Prints the offsets of every partition (earliest..latest), and the lag of every consumer group by the offsets that it
committed to the broker. A service reads on from the offsets in its own database; it commits them to the broker later,
for display.`;

/** KAFKA_BROKERS; without it, the embedded broker of `npm start`. */
function brokerSettings(): KafkaSettings {
  const { ports, brokers } = readSettings(process.env);
  const env = { ...process.env, KAFKA_BROKERS: brokers ?? `127.0.0.1:${ports.broker}` };
  return kafkaSettings("topics", loadConfig(Type.Object(commonSettings), env, "topics"));
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

await runCommand("topics", USAGE, async () => {
  const settings = brokerSettings();
  const inspector = new KafkaInspector(settings, "all", "all", silentLogger);
  try {
    const topics = await inspector.topics().catch((error: unknown) => {
      const at = `no answer from the broker at ${settings.brokers.join(", ")}`;
      throw new UsageError(`${at} (${errorText(error)}); is the store running (npm start)?`);
    });
    console.log(table(["TOPIC", "RECORDS", "PARTITIONS"], topics.map(topicRow)));
    console.log(`\n${table(["GROUP", "TOPIC", "LAG"], groupRows(topics))}`);
    return 0;
  } finally {
    await inspector.close();
  }
});
