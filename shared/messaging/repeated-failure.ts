import { errorText } from "./errors.ts";
import type { Logger, Runtime } from "./runtime.ts";

/** The first failures after the one that is logged are not: most end soon. */
const FEW = 5;
/** How often a failure that goes on is logged at least, however seldom it is tried again. */
const AGAIN_MS = 60_000;

interface Failing {
  readonly sinceMs: number;
  failures: number;
  loggedMs: number;
  loggedFailures: number;
  /** Those that fail for now: it is over when none does. */
  readonly members: Set<string>;
}

/**
 * Logs a failure that is retried, in few lines: the first one, then when the number of failures has doubled or a minute
 * has passed, and once when it is over, with how long it lasted. Stacks are logged at `debug`.
 */
export class RepeatedFailure {
  readonly #runtime: Pick<Runtime, "monotonic">;
  readonly #log: Logger;
  /** By what fails. One that is over is removed. */
  readonly #failing = new Map<string, Failing>();

  constructor(runtime: Pick<Runtime, "monotonic">, log: Logger) {
    this.#runtime = runtime;
    this.#log = log;
  }

  /**
   * @param what what fails, among the things that this logs about
   * @param fields of the line, beside the cause in words and the number of failures
   * @param more `level` of the line; `member`: which one of several that fail alike, such as effects of one name
   */
  failed(
    what: string,
    error: unknown,
    fields: object,
    text: string,
    { level = "warn", member = "" }: { level?: "warn" | "error"; member?: string } = {},
  ): void {
    const now = this.#runtime.monotonic();
    const failing = this.#failing.get(what) ?? {
      sinceMs: now,
      failures: 0,
      loggedMs: Number.NEGATIVE_INFINITY,
      loggedFailures: 0,
      members: new Set<string>(),
    };
    this.#failing.set(what, failing);
    failing.members.add(member);
    failing.failures += 1;
    const { failures } = failing;
    this.#log.debug({ ...fields, err: error, failures }, text);
    if (failures < 2 * failing.loggedFailures && now - failing.loggedMs < AGAIN_MS) return;
    failing.loggedMs = now;
    failing.loggedFailures = Math.max(failures, FEW);
    this.#log[level]({ ...fields, error: errorText(error), failures }, text);
  }

  /** What failed works, or that member of it: logged once no member fails any more. */
  over(what: string, fields: object, text: string, member = ""): void {
    const failing = this.#failing.get(what);
    if (failing === undefined || !this.#remove(what, member)) return;
    const seconds = Math.round((this.#runtime.monotonic() - failing.sinceMs) / 100) / 10;
    this.#log.info({ ...fields, failures: failing.failures, seconds }, text);
  }

  /** It is not tried any more, which the caller logs. */
  forget(what: string, member = ""): void {
    this.#remove(what, member);
  }

  /** @returns whether it was the last one that failed */
  #remove(what: string, member: string): boolean {
    const failing = this.#failing.get(what);
    if (!failing?.members.delete(member) || failing.members.size > 0) return false;
    return this.#failing.delete(what);
  }
}
