import { describeProvisioned, ProvisionFailed, provision } from "@distributed-messaging/redpanda/provision";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { keptTopics } from "@distributed-messaging/service/retention";
import { changeLogTopics, storeTopics } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { CommandFailed, parseOptions, runCommand } from "./command/command.ts";

const USAGE = `usage: bun scripts/provision.ts

Creates the topics of the store on the brokers that KAFKA_BROKERS names, with TOPIC_REPLICATION and
TOPIC_MIN_INSYNC_REPLICAS. compose.yaml runs it before the services.`;

const Config = Type.Object(commonSettings);

async function main(args: readonly string[]): Promise<number> {
  parseOptions(args, {});
  try {
    const config = loadConfig(Config, process.env, "provision");
    const settings = kafkaSettings("provision", config);
    const done = describeProvisioned(
      await provision(settings, [...keptTopics(storeTopics, config), ...changeLogTopics], settings.topics),
    );
    for (const line of done.length === 0 ? ["every topic is up to date"] : done) console.log(line);
    return 0;
  } catch (error) {
    if (error instanceof ProvisionFailed) throw new CommandFailed(error.message);
    throw error;
  }
}

await runCommand("provision", USAGE, main);
