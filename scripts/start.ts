import { parseArgs } from "node:util";
import { errorText } from "@distributed-messaging/messaging";
import { serviceNames } from "@distributed-messaging/services/registry";
import { openCounter } from "@distributed-messaging/supervisor/http/start";
import { freePorts, whyUnusable } from "@distributed-messaging/supervisor/ports";
import { Supervisor } from "@distributed-messaging/supervisor/supervisor";
import { runCommand } from "./command/command.ts";
import { COMPOSE_BROKERS, compose, requireDocker } from "./compose/docker.ts";
import { claimDataDir, wipeDataDir } from "./start/data-dir.ts";
import { logFormat } from "./start/log-format.ts";
import { seedCatalogue } from "./start/seed.ts";
import { readSettings, type StartSettings, settingOf, UsageError } from "./start/settings.ts";

const USAGE = `npm start -- [--fresh] [--broker embedded|redpanda]

  --fresh             starts from empty data: deletes what the store keeps in DATA_DIR (.data)
  --broker redpanda   runs Redpanda in a container instead of the embedded broker
`;

/** A second Ctrl-C so soon after the first is the same one: npm hands on the signal that the terminal gave to both. */
const SAME_SIGNAL_MS = 500;

const colours = process.stdout.isTTY === true && !process.env.NO_COLOR;
const write = (line: string) => void process.stdout.write(`${line}\n`);

interface Options {
  readonly fresh: boolean;
  readonly redpanda: boolean;
  readonly help: boolean;
}

/** @throws UsageError */
function readOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: {
        fresh: { type: "boolean", default: false },
        broker: { type: "string", default: "embedded" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.broker !== "embedded" && values.broker !== "redpanda") {
      throw new Error(`--broker: expected embedded or redpanda, got '${values.broker}'`);
    }
    return { fresh: values.fresh, redpanda: values.broker === "redpanda", help: values.help };
  } catch (error) {
    throw new UsageError(errorText(error));
  }
}

/** @throws UsageError naming every port that is taken, and its setting */
function requireFreePorts({ host, ports, supervisorPort, brokers }: StartSettings): void {
  const listening = brokers === undefined ? (["broker", ...serviceNames] as const) : serviceNames;
  const wanted = [
    ...listening.map((name) => ({ name, host, port: ports[name] })),
    { name: "supervisor" as const, host: "127.0.0.1", port: supervisorPort },
  ];
  const problems = wanted.flatMap(({ name, host, port }) => {
    const reason = port === 0 ? undefined : whyUnusable(host, port);
    return reason === undefined ? [] : [`port ${port} ${reason}; ${name} takes it from ${settingOf(name)}`];
  });
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
}

/** Resolves at the first signal to stop; calls back at the second. */
function stopRequested(onSecond: () => void): Promise<void> {
  return new Promise((resolve) => {
    let first: number | undefined;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => {
        if (first === undefined) {
          first = performance.now();
          write("");
          write("stopping … (Ctrl-C again kills)");
          resolve();
        } else if (signal === "SIGINT" && performance.now() - first > SAME_SIGNAL_MS) onSecond();
      });
    }
    // Whoever read our output is gone, as after the end of a pipe or of a terminal: nobody watches any more.
    process.stdout.on("error", () => resolve());
  });
}

function readyText(supervisor: Supervisor, brokerKind: string): string {
  const gateway = supervisor.url("api-gateway");
  const rows = serviceNames.map((name) => `  ${name.padEnd(13)} ${supervisor.url(name)}`);
  return [
    "",
    `ready in ${(performance.now() / 1000).toFixed(1)} s`,
    "",
    `  ${"the page".padEnd(13)} ${gateway.replace("127.0.0.1", "localhost")}/`,
    ...rows,
    `  ${"broker".padEnd(13)} ${supervisor.brokers} (${brokerKind})`,
    "",
    "next: open the page; or, in another terminal:",
    "  npm run post-order-1          places an order and follows it (or: bun run post-order-1)",
    "  npm run topics                shows what went through the broker",
    `  curl ${gateway}/products`,
    "",
    "Ctrl-C stops everything.",
    "",
  ].join("\n");
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    write(USAGE);
    return 0;
  }
  const named = readSettings(process.env);
  if (options.redpanda && named.brokers !== undefined) {
    throw new UsageError("--broker redpanda and KAFKA_BROKERS exclude each other");
  }
  const settings = options.redpanda ? { ...named, brokers: COMPOSE_BROKERS } : named;
  requireFreePorts(settings);
  const release = claimDataDir(settings.dataDir);
  if (options.fresh) wipeDataDir(settings.dataDir);
  if (options.redpanda) {
    await requireDocker("--broker redpanda");
    if ((await compose(["up", "--detach", "--wait", "redpanda"])) !== 0) {
      throw new UsageError("--broker redpanda: the container did not start, see above");
    }
  }
  try {
    const brokerKind = options.redpanda
      ? "Redpanda"
      : settings.brokers === undefined
        ? "embedded"
        : "KAFKA_BROKERS";
    return await runStore(settings, brokerKind);
  } finally {
    release();
    if (options.redpanda) await compose(["stop", "redpanda"]);
  }
}

async function runStore(settings: StartSettings, brokerKind: string): Promise<number> {
  const format = logFormat(colours);
  const testing = process.env.AUTOMATION_TESTING?.trim() || "true";
  const supervisorPort = settings.supervisorPort || (freePorts(1)[0] ?? 0);
  const supervisor = new Supervisor({
    dataDir: settings.dataDir,
    ports: settings.ports,
    ...(settings.brokers === undefined ? {} : { brokers: settings.brokers }),
    env: {
      AUTOMATION_TESTING: testing,
      DEMO_SIGN_IN: process.env.DEMO_SIGN_IN?.trim() || "true",
      // What the page is told, so that it can look behind the counter.
      SUPERVISOR_PORT: String(supervisorPort),
    },
    onLog: (log) => write(format(log)),
  });
  let stopping = false;
  let killed = false;
  const stopped = stopRequested(() => {
    killed = true;
    void supervisor.killAll();
  }).then(() => {
    stopping = true;
    return supervisor.stopAll();
  });
  try {
    await supervisor.startAll();
    await openCounter(supervisor, supervisorPort);
    if (testing === "true") await seedCatalogue(supervisor.url("inventory"));
    write(readyText(supervisor, brokerKind));
  } catch (error) {
    // Whoever stops the store before it is ready wants no report of what was not ready.
    if (!stopping) {
      await supervisor.stopAll();
      throw error;
    }
  }
  await stopped;
  return killed ? 130 : 0;
}

await runCommand("start", main);
