import { errorText } from "@distributed-messaging/messaging";
import { ConfigError, type Environment } from "./config.ts";
import { StartError } from "./errors.ts";
import { createLogger, type Logger, logLevelOf } from "./log.ts";

/** What the main function of a process works with. */
interface ProcessContext {
  readonly env: Environment;
  /** Writes at LOG_LEVEL. */
  readonly log: Logger;
  /** Parts are registered as they are started, and stopped in reverse order. */
  readonly lifecycle: Lifecycle;
  /** Stops every part and ends the process with exit code 1. The caller has logged why. */
  end(): void;
}

/** What the log says once the process is ready. */
interface Started {
  readonly port?: number;
}

interface ProcessOptions {
  readonly env?: Environment;
  /** How long all parts together may take to stop. */
  readonly stopDeadlineMs?: number;
}

const STOP_DEADLINE_MS = 10_000;

/**
 * Runs this process.
 *
 * - When `main` throws a ConfigError, a StartError or anything else: a line for each problem on stderr, exit code 1.
 *   The stack is logged at `debug` only.
 * - On SIGTERM or SIGINT: it drains, then every part is stopped in reverse order, within the deadline. Exit code 0, or 1
 *   with a line on stderr that names the parts that did not stop. A second signal ends the process immediately.
 * - On an uncaught exception or rejection: it is logged, every part is stopped, exit code 1.
 */
export async function runProcess(
  name: string,
  main: (context: ProcessContext) => Promise<Started | undefined> | Promise<void>,
  options: ProcessOptions = {},
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
    const started = await main({ env, log, lifecycle, end: () => void end(1) });
    // During a stop that began while main was running, the process is not ready.
    if (!lifecycle.stopping) log.info({ ...started }, "ready");
  } catch (error) {
    // During a stop, main may fail because parts that it uses are stopped.
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
  let isSignalled = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (isSignalled || lifecycle.stopping) process.exit(1);
      isSignalled = true;
      log.info({ signal }, "stopping");
      void lifecycle.drain().then(() => end(0));
    });
  }
}

function onUncaught(lifecycle: Lifecycle, log: Logger, end: End): void {
  const report = (kind: string) => (error: unknown) => {
    log.fatal({ err: error }, `${kind}: ${errorText(error)}`);
    // During a stop, a further failure must not start a second one.
    if (!lifecycle.stopping) void end(1);
  };
  process.on("uncaughtException", report("uncaught exception"));
  process.on("unhandledRejection", report("unhandled rejection"));
}

interface Stoppable {
  /** Stops it, if possible within `remainingMs`. */
  stop(remainingMs: number): void | Promise<void>;
}

/** After the deadline, each part that is left is given this long. */
const MIN_STOP_MS = 50;

/**
 * The running parts of a process. They are stopped in the reverse order of their registration, since a part may use
 * those that were started before it.
 */
export class Lifecycle {
  readonly #log: Logger;
  readonly #parts: { readonly name: string; readonly part: Stoppable }[] = [];
  /** What the process does before its parts are stopped, once it was told to stop. */
  drain: () => Promise<void> = async () => {};
  #stopping: Promise<readonly string[]> | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether `stopAll` was called. */
  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** @param name for the log */
  add(name: string, part: Stoppable): void {
    this.#parts.push({ name, part });
  }

  /**
   * Stops every part, one after the other. Never throws. Every call has the same result.
   *
   * @returns the names of the parts that failed to stop or did not stop in time
   */
  stopAll(deadlineMs: number): Promise<readonly string[]> {
    this.#stopping ??= this.#stopEach(performance.now() + deadlineMs);
    return this.#stopping;
  }

  async #stopEach(deadline: number): Promise<readonly string[]> {
    const failed: string[] = [];
    // A part that is registered during the stop is stopped as well.
    for (let next = this.#parts.pop(); next !== undefined; next = this.#parts.pop()) {
      const remainingMs = Math.max(0, deadline - performance.now());
      if (!(await this.#stopOne(next.name, next.part, remainingMs))) failed.push(next.name);
    }
    return failed;
  }

  async #stopOne(name: string, part: Stoppable, remainingMs: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), Math.max(MIN_STOP_MS, remainingMs));
    const stopped = (async () => {
      await part.stop(remainingMs);
      return true;
    })();
    try {
      return await Promise.race([stopped, late.promise]);
    } catch (error) {
      this.#log.error({ err: error, part: name }, `${name} failed to stop: ${errorText(error)}`);
      return false;
    } finally {
      clearTimeout(timer);
      // It may still fail after the deadline; that must not be an unhandled rejection.
      stopped.catch(() => {});
    }
  }
}
