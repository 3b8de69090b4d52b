import { errorText, silentLogger } from "@distributed-messaging/messaging";
import { KafkaInspector, LogVerifier, type TopicState } from "@distributed-messaging/messaging/kafka";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";
import { CommandFailed, parseOptions, runCommand, table } from "./command/command.ts";

const USAGE = `usage: bun run topics [-- --verify]

Prints the offsets of every partition (earliest..latest), and the lag of every consumer group by the offsets that it
committed to the broker. A service reads on from the offsets in its own database; it commits them to the broker later,
for display.

It names the partitions with records that the broker knows to be damaged. --verify reads every record, verifies the
checksums, and prints the offsets that cannot be read, on any Kafka-protocol broker. The exit code is 1 then.`;

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

/** @returns the exit code */
async function reportKnownDamage(verifier: LogVerifier, topics: readonly TopicState[]): Promise<number> {
  const damaged = await verifier.knownDamage(topics);
  if (damaged.length === 0) return 0;
  const names = damaged.map(({ topic, partition }) => `${topic}/${partition}`).join(", ");
  console.log(`\nDAMAGED: ${names}. To see the offsets: bun run topics -- --verify`);
  return 1;
}

/** @returns the exit code */
async function verify(verifier: LogVerifier, topics: readonly TopicState[]): Promise<number> {
  const rows: string[][] = [];
  for await (const { topic, partition, from, to } of verifier.unreadable(topics)) {
    const offsets = to === undefined ? `${from} and what follows: the end is damaged` : `${from}..${to}`;
    rows.push([topic, String(partition), offsets]);
  }
  console.log(
    rows.length === 0
      ? "\nevery record can be read"
      : `\n${table(["DAMAGED", "PARTITION", "OFFSETS"], rows)}`,
  );
  return rows.length === 0 ? 0 : 1;
}

await runCommand("topics", USAGE, async (args) => {
  const { values } = parseOptions(args, { verify: { type: "boolean" } });
  const config = loadConfig(Type.Object(commonSettings), process.env, "topics");
  const settings = kafkaSettings("topics", config);
  const inspector = new KafkaInspector(settings, "all", "all", silentLogger);
  const verifier = new LogVerifier(settings, silentLogger);
  try {
    const topics = await inspector.topics().catch((error: unknown) => {
      const at = `no answer from the broker at ${settings.brokers.join(", ")}`;
      throw new CommandFailed(`${at} (${errorText(error)}); is the store running (npm start)?`);
    });
    console.log(table(["TOPIC", "RECORDS", "PARTITIONS"], topics.map(topicRow)));
    console.log(`\n${table(["GROUP", "TOPIC", "LAG"], groupRows(topics))}`);
    return await (values.verify ? verify(verifier, topics) : reportKnownDamage(verifier, topics));
  } finally {
    await Promise.all([inspector.close(), verifier.close()]);
  }
});
