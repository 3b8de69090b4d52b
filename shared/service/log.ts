import pino, { type Logger as PinoLogger } from "pino";

export type LogLevel = "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";

/** What the rest of the code asks of a log; pino gives it, and a test can too. */
export type Logger = Pick<
  PinoLogger,
  "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "level" | "isLevelEnabled"
>;

const SECRET_KEYS = ["authorization", "token", "password", "privateJwk", "secret", "cookie"];

/** pino redacts by path, not by name: each name is listed at every depth at which something is logged. */
const SECRET_PATHS = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/** Somewhere to write lines to; standard output unless a test wants them. */
export interface LogDestination {
  write(line: string): void;
}

/**
 * A log of JSON lines, `{"level":"info","time":"2026-01-01T00:00:00.000Z","app":"order","msg":"…"}`, each
 * written before the call returns: the last line before a crash is the one that is needed.
 * Values named authorization, token, password and the like are replaced by `[redacted]`.
 */
export function createLogger(app: string, level: LogLevel = "info", destination?: LogDestination): Logger {
  return pino(
    {
      level,
      base: { app },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => errorFields(error) },
      redact: { paths: SECRET_PATHS, censor: "[redacted]" },
    },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

/** How far a chain of causes is followed: an error may be its own cause. */
const MAX_CAUSES = 5;

/**
 * What a log keeps of an error. Not all its properties, as pino would: a validation error carries the whole
 * input, a database error the values of the statement.
 */
function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  return {
    type: error.name,
    message: error.message,
    ...("code" in error ? { code: String(error.code) } : {}),
    stack: error.stack,
    ...(error.cause === undefined || depth === MAX_CAUSES
      ? {}
      : { cause: errorFields(error.cause, depth + 1) }),
  };
}

/** The level that LOG_LEVEL names, `info` for anything else: a bad setting is reported elsewhere, in a log. */
export function logLevelOf(text: string | undefined): LogLevel {
  const levels: readonly LogLevel[] = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];
  return levels.find((level) => level === text) ?? "info";
}
