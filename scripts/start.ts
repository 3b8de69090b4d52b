import { pageOf, runStore } from "@distributed-messaging/supervisor/run";
import { readStoreSettings } from "@distributed-messaging/supervisor/settings";
import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { seedCatalogue } from "./command/client.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { COMPOSE_BROKERS, CONSOLE, compose, requireDocker } from "./compose/docker.ts";
import { logFormat } from "./start/log-format.ts";

const USAGE = `usage: npm start -- [--fresh] [--broker embedded|redpanda] [--replicas N]

Runs the whole store on this machine until Ctrl-C.

  --fresh             deletes the store's data in DATA_DIR (.data) first
  --broker redpanda   runs Redpanda, and its Console, in containers instead of the embedded broker
  --replicas N        runs N instances, 1 to 5, of the services that may have several; later starts without it do the same`;

const redpanda = {
  start: async () => {
    await requireDocker("--broker redpanda");
    if ((await compose(["up", "--detach", "--wait", "redpanda", "console"])) !== 0) {
      throw new CommandFailed("--broker redpanda: the containers did not start, see above");
    }
  },
  stop: () => compose(["stop", "console", "redpanda"]),
};

const write = (line: string) => void process.stdout.write(`${line}\n`);

interface Options {
  readonly fresh: boolean;
  readonly usesRedpanda: boolean;
  readonly replicas?: number;
}

/** @throws UsageError */
function readOptions(args: readonly string[]): Options {
  const { values } = parseOptions(args, {
    fresh: { type: "boolean", default: false },
    broker: { type: "string", default: "embedded" },
    replicas: { type: "string" },
  });
  if (values.broker !== "embedded" && values.broker !== "redpanda") {
    throw new UsageError(`--broker: expected embedded or redpanda, got '${values.broker}'`);
  }
  if (values.replicas !== undefined && !/^[1-5]$/.test(values.replicas)) {
    throw new UsageError(`--replicas: expected a number from 1 to 5, got '${values.replicas}'`);
  }
  return {
    fresh: values.fresh,
    usesRedpanda: values.broker === "redpanda",
    ...(values.replicas === undefined ? {} : { replicas: Number(values.replicas) }),
  };
}

function readyText(store: StoreSupervisor, brokerKind: string): string {
  const gateway = store.url("api-gateway");
  const rows = store.instances.map(({ name, url }) => `  ${name.padEnd(13)} ${url}`);
  return [
    "",
    `ready in ${(performance.now() / 1000).toFixed(1)} s`,
    "",
    `  ${"page".padEnd(13)} ${pageOf(store)}`,
    ...rows,
    `  ${"broker".padEnd(13)} ${store.brokers} (${brokerKind})`,
    ...(brokerKind === "Redpanda" ? [`  ${"Console".padEnd(13)} ${CONSOLE}`] : []),
    "",
    "next: open the page; or, in another terminal:",
    "  npm run post-order-1          places an order and follows it (or: bun run post-order-1)",
    "  npm run topics                shows the topics of the broker",
    `  curl ${gateway}/products`,
    "",
    "Ctrl-C stops everything.",
    "",
  ].join("\n");
}

await runCommand("start", USAGE, async (args) => {
  const { usesRedpanda, ...options } = readOptions(args);
  const settings = await readStoreSettings(process.env);
  if (usesRedpanda && settings.brokers !== undefined) {
    throw new UsageError("--broker redpanda and KAFKA_BROKERS exclude each other");
  }
  const brokerKind = usesRedpanda
    ? "Redpanda"
    : settings.brokers === undefined
      ? "embedded"
      : "KAFKA_BROKERS";
  const testing = process.env.AUTOMATION_TESTING?.trim() || "true";
  const format = logFormat(process.stdout.isTTY === true && !process.env.NO_COLOR);
  return runStore(usesRedpanda ? { ...settings, brokers: COMPOSE_BROKERS } : settings, {
    ...options,
    env: { AUTOMATION_TESTING: testing, DEMO_SIGN_IN: process.env.DEMO_SIGN_IN?.trim() || "true" },
    ...(usesRedpanda ? { broker: redpanda } : {}),
    onLog: (log) => write(format(log)),
    onWait: () => write("waiting for the processes of a store that was killed to end …"),
    onLate: (store) => {
      const where = `${store.brokers} (${brokerKind})`;
      write(
        `\nnot ready yet: waiting for the broker at ${where}; orders are kept. The page: ${pageOf(store)}\n`,
      );
    },
    onReady: async (store) => {
      if (testing === "true") await seedCatalogue(store.url("inventory"));
      write(readyText(store, brokerKind));
    },
    onStop: () => write("\nstopping … (Ctrl-C again kills all processes)"),
  });
});
