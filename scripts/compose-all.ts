import { join } from "node:path";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { seedCatalogue } from "./command/client.ts";
import { parseOptions, runCommand, UsageError } from "./command/command.ts";
import { CONSOLE, compose, consoleAnswers, requireDocker } from "./compose/docker.ts";

const USAGE = `usage: bun run compose-all [--cluster | --own-brokers] [--observe] [arguments of docker compose]

Builds and starts everything in compose.yaml, waits until it is healthy, and creates the demo catalogue. With a command, it
is docker compose with that file, which reads all arguments from there on: bun run compose-all down, bun run compose-all
logs --help

  --cluster       runs three Redpanda nodes, with three replicas of each record, and two instances of each service behind a
                  proxy, as redpanda/cluster.env says
  --own-brokers   runs none: the services use the brokers that KAFKA_BROKERS names, with the secrets that
                  compose.brokers.yaml describes
  --observe       runs Prometheus with the alerts, Alertmanager, Grafana with the dashboards, and a collector with Tempo
                  for traces, too`;

/** From the first argument that is no option, all are those of docker compose: also its --help. */
function ownOf(args: readonly string[]): readonly string[] {
  const command = args.findIndex((arg) => !arg.startsWith("-"));
  return command < 0 ? args : args.slice(0, command);
}

async function main(args: readonly string[]): Promise<number> {
  const own = ownOf(args);
  const {
    cluster,
    "own-brokers": ownBrokers,
    observe,
  } = parseOptions(own, {
    cluster: { type: "boolean", default: false },
    "own-brokers": { type: "boolean", default: false },
    observe: { type: "boolean", default: false },
  }).values;
  if (cluster && ownBrokers) throw new UsageError("--cluster and --own-brokers exclude each other");
  await requireDocker();
  const files = cluster
    ? ["--env-file", join(ROOT, "redpanda/cluster.env"), "--profile", "cluster"]
    : ownBrokers
      ? ["--file", join(ROOT, "compose.brokers.yaml")]
      : [];
  if (observe) {
    files.push("--profile", "observe");
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT ||= "http://collector:4318";
  }
  if (own.length < args.length) return compose([...files, ...args.slice(own.length)]);
  const exitCode = await compose([...files, "up", "--build", "--detach", "--wait"]);
  if (exitCode !== 0) return exitCode;
  if ((process.env.AUTOMATION_TESTING ?? "true") === "true") {
    await seedCatalogue(`http://127.0.0.1:${services.inventory.port}`);
  }
  const rows = serviceNames.map((name) => `  ${name.padEnd(16)} http://127.0.0.1:${services[name].port}`);
  if (!ownBrokers)
    rows.push(`  Redpanda Console ${CONSOLE}${(await consoleAnswers()) ? "" : " (does not answer yet)"}`);
  if (observe)
    rows.push("  Grafana          http://127.0.0.1:3000", "  Prometheus       http://127.0.0.1:9090");
  console.log(["", "ready", "", ...rows, ""].join("\n"));
  console.log("bun run compose-all logs -f   shows what they say\nbun run compose-all down      stops them");
  return 0;
}

await runCommand("compose-all", USAGE, main, ownOf);
