import { errorText } from "@distributed-messaging/messaging";
import { ConfigError, type Environment } from "./config.ts";
import { StartError } from "./errors.ts";
import { Lifecycle } from "./lifecycle.ts";
import { createLogger, type Logger, logLevelOf } from "./log.ts";

export { ensureDataDir } from "./data-dir.ts";
export { StartError } from "./errors.ts";
export { Lifecycle, type Stoppable } from "./lifecycle.ts";

/** What a service's main function is given. */
export interface Service {
  readonly name: string;
  readonly env: Environment;
  /** Writes at LOG_LEVEL. */
  readonly log: Logger;
  /** Where main registers what has to stop, in the order in which it starts. */
  readonly lifecycle: Lifecycle;
}

/** What main tells once the service can do its work; logged with `ready`. */
export interface Started {
  readonly port?: number;
}

export interface RunOptions {
  readonly env?: Environment;
  /** How long all parts together may take to stop. */
  readonly stopDeadlineMs?: number;
}

const STOP_DEADLINE_MS = 10_000;

/**
 * Runs a service as this process.
 *
 * - Wrong settings, a StartError or any other throw of `main`: a line each on stderr, exit 1. The stack is
 *   logged at `debug` only.
 * - SIGTERM, SIGINT: every part stops in reverse order within the deadline; exit 0, or 1 with a line that
 *   names what did not stop. A second signal ends the process at once.
 * - An exception or rejection that nobody caught: logged, the same orderly stop, exit 1.
 */
export async function runService(
  name: string,
  main: (service: Service) => Promise<Started | undefined> | Promise<void>,
  options: RunOptions = {},
): Promise<void> {
  const env = options.env ?? process.env;
  const log = createLogger(name, logLevelOf(env.LOG_LEVEL));
  const lifecycle = new Lifecycle(log);
  const end = async (exitCode: number) => {
    const failed = await lifecycle.stopAll(options.stopDeadlineMs ?? STOP_DEADLINE_MS);
    if (failed.length > 0) {
      process.stderr.write(`${name}: did not stop in time: ${failed.join(", ")}\n`);
    }
    process.exit(failed.length > 0 ? 1 : exitCode);
  };
  onSignals(lifecycle, log, end);
  onUncaught(lifecycle, log, end);
  try {
    const started = await main({ name, env, log, lifecycle });
    // A signal may have come while main ran; then the parts are already stopping.
    if (!lifecycle.stopping) log.info({ ...started }, "ready");
  } catch (error) {
    // What main stood on may have been stopped under it.
    if (lifecycle.stopping) return;
    for (const line of linesOf(error)) process.stderr.write(`${name}: ${line}\n`);
    if (!(error instanceof ConfigError)) log.debug({ err: error }, "could not start");
    await end(1);
  }
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems;
  if (error instanceof StartError) return [error.message];
  return [`could not start: ${errorText(error)}`];
}

type End = (exitCode: number) => Promise<void>;

function onSignals(lifecycle: Lifecycle, log: Logger, end: End): void {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (lifecycle.stopping) process.exit(1);
      log.info({ signal }, "stopping");
      void end(0);
    });
  }
}

function onUncaught(lifecycle: Lifecycle, log: Logger, end: End): void {
  const report = (kind: string) => (error: unknown) => {
    log.fatal({ err: error }, `${kind}: ${errorText(error)}`);
    // One failure on the way out must not begin a second way out.
    if (!lifecycle.stopping) void end(1);
  };
  process.on("uncaughtException", report("uncaught exception"));
  process.on("unhandledRejection", report("unhandled rejection"));
}
