import { ConfigError, exposedFeatures, type InsecureFeature } from "@distributed-messaging/service/config";
import { StartError } from "@distributed-messaging/service/errors";
import { serviceNames } from "@distributed-messaging/services/registry";
import {
  alreadyRuns,
  type DataDirLock,
  lockDataDir,
  processesLock,
  rememberReplicas,
  replicasIn,
  untilProcessesEnded,
  wipeDataDir,
} from "./data-dir.ts";
import { serveAdminPanel } from "./http.ts";
import { freePorts, whyUnusable } from "./ports.ts";
import type { ProcessLog } from "./process.ts";
import { portSetting, type Settings } from "./settings.ts";
import { processNames, StoreSupervisor, urlOf } from "./store.ts";

/** npm forwards Ctrl-C, which the terminal sends to both: a second signal within this time is the same one. */
const SAME_SIGNAL_MS = 500;

/** After how long without being ready the user is told that the broker is waited for. */
const LATE_MS = 4_000;
/** The longest time of a timer. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface RunOptions {
  /** Deletes the data of earlier runs first. */
  readonly fresh: boolean;
  /** How many instances of each service that may have several; unless given, as many as before. */
  readonly replicas?: number;
  /** Added to the environment of every process. */
  readonly env: Readonly<Record<string, string>>;
  readonly onLog: (log: ProcessLog) => void;
  /** A broker that is started before the store, once it is certain that no other store runs, and stopped after it. */
  readonly broker?: { start(): Promise<void>; stop(): Promise<unknown> };
  /** Called when processes of a store that was killed have to end before this one can start. */
  readonly onWait: () => void;
  /** Called when not all processes are ready after a few seconds, with a broker that is not the store's own. */
  readonly onLate: (store: StoreSupervisor) => void;
  /** Called when every process is ready and the supervisor listens. */
  readonly onReady: (store: StoreSupervisor) => Promise<void>;
  /** Called when the store begins to stop. */
  readonly onStop: () => void;
}

/**
 * Runs a store and its admin panel until SIGINT, SIGTERM or SIGHUP, or until the standard output is closed. A
 * second SIGINT kills all processes.
 *
 * @returns the exit code
 * @throws ConfigError, StartError, StartFailed when the store cannot start; every process is stopped then
 */
export async function runStore(settings: Settings, options: RunOptions): Promise<number> {
  requireUnexposed(settings, options.env);
  const lock = lockDataDir(settings.dataDir);
  try {
    await untilProcessesEnded(settings.dataDir, options.onWait);
    await requireFreePorts(settings);
    if (options.fresh) wipeDataDir(settings.dataDir);
    await options.broker?.start();
    try {
      return await superviseUntilStopped(settings, options, lock);
    } finally {
      await options.broker?.stop();
    }
  } finally {
    lock.release();
  }
}

async function superviseUntilStopped(
  settings: Settings,
  options: RunOptions,
  lock: DataDirLock,
): Promise<number> {
  const supervisorPort = settings.supervisorPort || (freePorts(1)[0] ?? 0);
  const replicas = options.replicas ?? replicasIn(settings.dataDir);
  if (replicas !== undefined) rememberReplicas(settings.dataDir, replicas);
  const store = new StoreSupervisor({
    dataDir: settings.dataDir,
    ...(replicas === undefined ? {} : { replicas }),
    ports: settings.ports,
    ...(settings.brokers === undefined ? {} : { brokers: settings.brokers }),
    // The gateway's page needs the port of the supervisor.
    env: {
      ...options.env,
      SUPERVISOR_PORT: String(supervisorPort),
      PROCESSES_LOCK: processesLock(settings.dataDir),
    },
    onLog: options.onLog,
    // The services are not ready without their broker, and wait for it.
    ...(settings.brokers === undefined ? {} : { timings: { readyTimeoutMs: LONGEST_TIMER_MS } }),
  });
  lock.announce(pageOf(store));
  let exitCode: number | undefined;
  const stopped = stopRequest(() => {
    exitCode = 130;
    void store.killAll();
  }).then(() => {
    exitCode = 0;
    options.onStop();
    return store.stopAll();
  });
  const late = settings.brokers === undefined ? undefined : setTimeout(() => options.onLate(store), LATE_MS);
  try {
    await serveAdminPanel(store, supervisorPort);
    await store.startAll();
    clearTimeout(late);
    await options.onReady(store);
  } catch (error) {
    // A start that was interrupted by a stop request has not failed.
    if (exitCode === undefined) {
      await store.stopAll();
      throw error;
    }
  }
  await stopped.finally(() => clearTimeout(late));
  return exitCode ?? 0;
}

const RISKS: Readonly<Record<InsecureFeature, string>> = {
  "demo-sign-in": "sign in as anybody, admins included (DEMO_SIGN_IN)",
  "automation-testing": "change the stock (AUTOMATION_TESTING)",
  supervisor: "stop every process (the supervisor)",
};

/** @throws ConfigError when others could abuse what this run switches on */
function requireUnexposed({ exposure }: Settings, env: RunOptions["env"]): void {
  const features: readonly InsecureFeature[] = [
    ...(env.DEMO_SIGN_IN === "true" ? (["demo-sign-in"] as const) : []),
    ...(env.AUTOMATION_TESTING === "true" ? (["automation-testing"] as const) : []),
    "supervisor",
  ];
  const exposed = exposedFeatures(features, exposure);
  if (exposed.length === 0) return;
  const where =
    exposure.NODE_ENV === "production"
      ? "NODE_ENV is production"
      : `HOST is ${exposure.HOST}, not a loopback address`;
  const risks = exposed.map((feature) => RISKS[feature]).join(", ");
  throw new ConfigError([
    `${where}, and whoever reaches this store could ${risks}`,
    `run the services by themselves (docs/operations.md), or, if this is wanted, set ALLOW_INSECURE=${exposed.join()}`,
  ]);
}

/** The address of the store's page. */
export function pageOf(store: StoreSupervisor): string {
  return pageAt(store.url("api-gateway"));
}

function pageAt(gateway: string): string {
  return `${gateway.replace("127.0.0.1", "localhost")}/`;
}

/** Whether the gateway of a store listens there. */
async function isGateway(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/liveness`, { signal: AbortSignal.timeout(2_000) });
    return (await response.text()).includes('"api-gateway"');
  } catch {
    return false;
  }
}

/** @throws StartError when a store runs at them; ConfigError naming every port that is in use, and its setting */
async function requireFreePorts({ host, ports, supervisorPort, brokers }: Settings): Promise<void> {
  const listening = brokers === undefined ? processNames : serviceNames;
  const wanted = [
    ...listening.map((name) => ({ name, host, port: ports[name] })),
    { name: "supervisor" as const, host: "127.0.0.1", port: supervisorPort },
  ];
  const problems = wanted.flatMap(({ name, host, port }) => {
    const reason = port === 0 ? undefined : whyUnusable(host, port);
    return reason === undefined
      ? []
      : [`port ${port} ${reason}; ${portSetting(name)} is the port of ${name}`];
  });
  if (problems.length === 0) return;
  const gateway = urlOf(host, ports["api-gateway"]);
  if (await isGateway(gateway)) throw new StartError(alreadyRuns(pageAt(gateway)));
  throw new ConfigError(problems);
}

/** Resolves at the first signal to stop. @param onSecond called at a second SIGINT */
function stopRequest(onSecond: () => void): Promise<void> {
  return new Promise((resolve) => {
    let firstAt: number | undefined;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => {
        if (firstAt === undefined) {
          firstAt = performance.now();
          resolve();
        } else if (signal === "SIGINT" && performance.now() - firstAt > SAME_SIGNAL_MS) onSecond();
      });
    }
    // The reader of a pipe ended, or the terminal was closed.
    process.stdout.on("error", () => resolve());
  });
}
