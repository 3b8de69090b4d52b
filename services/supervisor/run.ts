import { ConfigError } from "@distributed-messaging/service/config";
import { serviceNames } from "@distributed-messaging/services/registry";
import { lockDataDir, wipeDataDir } from "./data-dir.ts";
import { serveAdminPanel } from "./http.ts";
import { freePorts, whyUnusable } from "./ports.ts";
import type { ProcessLog } from "./process.ts";
import { portSetting, type Settings } from "./settings.ts";
import { processNames, StoreSupervisor } from "./store.ts";

/** npm forwards Ctrl-C, which the terminal sends to both: a second signal within this time is the same one. */
const SAME_SIGNAL_MS = 500;

export interface RunOptions {
  /** Deletes the data of earlier runs first. */
  readonly fresh: boolean;
  /** Added to the environment of every process. */
  readonly env: Readonly<Record<string, string>>;
  readonly onLog: (log: ProcessLog) => void;
  /** A broker that is started before the store, once it is certain that no other store runs, and stopped after it. */
  readonly broker?: { start(): Promise<void>; stop(): Promise<unknown> };
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
  requireFreePorts(settings);
  const unlock = lockDataDir(settings.dataDir);
  try {
    if (options.fresh) wipeDataDir(settings.dataDir);
    await options.broker?.start();
    try {
      return await superviseUntilStopped(settings, options);
    } finally {
      await options.broker?.stop();
    }
  } finally {
    unlock();
  }
}

async function superviseUntilStopped(settings: Settings, options: RunOptions): Promise<number> {
  const supervisorPort = settings.supervisorPort || (freePorts(1)[0] ?? 0);
  const store = new StoreSupervisor({
    dataDir: settings.dataDir,
    ports: settings.ports,
    ...(settings.brokers === undefined ? {} : { brokers: settings.brokers }),
    // The gateway's page needs the port of the supervisor.
    env: { ...options.env, SUPERVISOR_PORT: String(supervisorPort) },
    onLog: options.onLog,
  });
  let exitCode: number | undefined;
  const stopped = stopRequest(() => {
    exitCode = 130;
    void store.killAll();
  }).then(() => {
    exitCode = 0;
    options.onStop();
    return store.stopAll();
  });
  try {
    await store.startAll();
    await serveAdminPanel(store, supervisorPort);
    await options.onReady(store);
  } catch (error) {
    // A start that was interrupted by a stop request has not failed.
    if (exitCode === undefined) {
      await store.stopAll();
      throw error;
    }
  }
  await stopped;
  return exitCode ?? 0;
}

/** @throws ConfigError naming every port that is in use, and its setting */
function requireFreePorts({ host, ports, supervisorPort, brokers }: Settings): void {
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
  if (problems.length > 0) throw new ConfigError(problems);
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
