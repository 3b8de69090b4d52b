import { errorText } from "@distributed-messaging/messaging";
import { describeGranted, grantAccess } from "@distributed-messaging/redpanda/access";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";
import { commandsOf, instancesIn, principalsOf, storeGrants, type Tool } from "./access/grants.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run access -- print [--tool kafka-acls|rpk] [--principal …] [--instances NAMES]
       bun run access -- apply [--principal …] [--instances NAMES]

The rights on the broker that each service needs, and no more, computed from the services. REPLICATION=on adds those of
the services that are replicated; with INSTANCE=a the groups are those of the instance of that name.

  print   the commands that create them, for Apache Kafka's kafka-acls.sh or for Redpanda's rpk
  apply   creates those that are missing on the brokers of KAFKA_BROKERS, as the user of the KAFKA_SASL_* or KAFKA_SSL_*
          settings; names the further rights of the same principals, and removes none

  --principal 'User:CN={service},O=Store'   the principals, with {service} for a service's name; User:{service} by default
  --principal order=User:someone            the principal of one service; may be repeated
  --instances 0,1                           as REPLICATION=on, with the groups of the instances of these names, and no others`;

const options = {
  tool: { type: "string", default: "kafka-acls" },
  principal: { type: "string", multiple: true },
  instances: { type: "string" },
} as const;

function toolOf(word: string): Tool {
  if (word !== "kafka-acls" && word !== "rpk")
    throw new UsageError(`--tool: expected kafka-acls or rpk, got '${word}'`);
  return word;
}

await runCommand("access", USAGE, async (args) => {
  const { values, positionals } = parseOptions(args, options, 1);
  const [action] = positionals;
  if (action !== "print" && action !== "apply") throw new UsageError("expected print or apply");
  const tool = toolOf(values.tool);
  const instances = instancesIn(values.instances);
  const grants = await storeGrants(principalsOf(values.principal ?? []), process.env, instances);
  const config = loadConfig(Type.Object(commonSettings), process.env, "access");
  if (action === "print") {
    for (const line of commandsOf(grants, tool, config.KAFKA_BROKERS)) console.log(line);
    return 0;
  }
  try {
    const lines = describeGranted(await grantAccess(kafkaSettings("access", config), grants));
    for (const line of lines.length === 0 ? ["every right is granted, and no other"] : lines)
      console.log(line);
    return 0;
  } catch (error) {
    throw new CommandFailed(
      `cannot grant the rights at ${config.KAFKA_BROKERS.join(", ")}: ${errorText(error)}`,
    );
  }
});
