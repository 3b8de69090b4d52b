import { serviceNames, services } from "@distributed-messaging/services/registry";
import { seedCatalogue } from "./command/client.ts";
import { parseOptions, runCommand } from "./command/command.ts";
import { compose, requireDocker } from "./compose/docker.ts";

const USAGE = `usage: bun run compose-all [--cluster] [arguments of docker compose]

Builds and starts everything in compose.yaml, waits until it is healthy, and creates the demo catalogue. --cluster
runs three Redpanda nodes. With a command, it is docker compose with that file, which reads all arguments from there on:
bun run compose-all down, bun run compose-all logs --help`;

/** From the first argument that is no option, all are those of docker compose: also its --help. */
function ownOf(args: readonly string[]): readonly string[] {
  const command = args.findIndex((arg) => !arg.startsWith("-"));
  return command < 0 ? args : args.slice(0, command);
}

async function main(args: readonly string[]): Promise<number> {
  const own = ownOf(args);
  const cluster = parseOptions(own, { cluster: { type: "boolean", default: false } }).values.cluster;
  await requireDocker();
  const profile = cluster ? ["--profile", "cluster"] : [];
  if (own.length < args.length) return compose([...profile, ...args.slice(own.length)]);
  const env: Record<string, string> = cluster ? { TOPIC_REPLICATION: "3" } : {};
  const exitCode = await compose([...profile, "up", "--build", "--detach", "--wait"], env);
  if (exitCode !== 0) return exitCode;
  if ((process.env.AUTOMATION_TESTING ?? "true") === "true") {
    await seedCatalogue(`http://127.0.0.1:${services.inventory.port}`);
  }
  const rows = serviceNames.map((name) => `  ${name.padEnd(16)} http://127.0.0.1:${services[name].port}`);
  console.log(["", "ready", "", ...rows, "  Redpanda Console http://127.0.0.1:8080", ""].join("\n"));
  console.log("bun run compose-all logs -f   shows what they say\nbun run compose-all down      stops them");
  return 0;
}

await runCommand("compose-all", USAGE, main, ownOf);
