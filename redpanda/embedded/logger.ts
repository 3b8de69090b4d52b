/** The log of the broker: one JSON object per line on stdout. */

const levels = ["debug", "info", "warn", "error", "silent"] as const;

export type LogLevel = (typeof levels)[number];

export function isLogLevel(value: string): value is LogLevel {
  return levels.some((level) => level === value);
}

type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Logger {
  debug(msg: string, fields?: Fields): void;
  info(msg: string, fields?: Fields): void;
  warn(msg: string, fields?: Fields): void;
  error(msg: string, fields?: Fields): void;
}

export function createLogger(
  threshold: LogLevel,
  write: (line: string) => void = (line) => process.stdout.write(line),
): Logger {
  const at = (level: LogLevel) => (msg: string, fields?: Fields) => {
    if (levels.indexOf(level) < levels.indexOf(threshold)) return;
    write(
      `${JSON.stringify({ level, time: new Date().toISOString(), process: "broker", msg, ...fields })}\n`,
    );
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** The text of a thrown value, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The first failures after the one that is logged are not: most end soon. */
const FEW = 5;
const AGAIN_MS = 60_000;

/**
 * Logs a failure that clients or timers repeat in few lines: the first one, then when their number has doubled or a minute
 * has passed, and once when it is over.
 */
export class FailureLog {
  #failures = 0;
  #nextFailures = 0;
  #sinceMs = 0;
  #loggedMs = 0;

  constructor(
    private readonly logger: Logger,
    private readonly now: () => number = () => performance.now(),
  ) {}

  failed(level: "warn" | "error", msg: string, fields: Fields): void {
    const now = this.now();
    if (this.#failures === 0) this.#sinceMs = now;
    this.#failures += 1;
    if (this.#failures > 1 && this.#failures < this.#nextFailures && now - this.#loggedMs < AGAIN_MS) return;
    this.#loggedMs = now;
    this.#nextFailures = 2 * Math.max(this.#failures, FEW);
    this.logger[level](msg, { ...fields, failures: this.#failures });
  }

  over(msg: string, fields: Fields): void {
    if (this.#failures === 0) return;
    const seconds = Math.round((this.now() - this.#sinceMs) / 100) / 10;
    this.logger.info(msg, { ...fields, failures: this.#failures, seconds });
    this.#failures = 0;
  }
}
