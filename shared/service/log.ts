import { escapeInvisible } from "@distributed-messaging/messaging";
import pino, { type Logger as PinoLogger } from "pino";
import { logLevels } from "./config.ts";

export type LogLevel = (typeof logLevels)[number];

export type Logger = Pick<
  PinoLogger,
  "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "level" | "isLevelEnabled"
>;

const SECRET_KEYS = ["authorization", "token", "password", "privateJwk", "secret", "cookie"];

/** pino redacts by path, not by name: each name is listed at each depth. */
const SECRET_PATHS = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/**
 * A logger of JSON lines, `{"level":"info","time":"2026-01-01T00:00:00.000Z","app":"order","msg":"…"}`. A line is
 * written before the call returns, so that none is lost in a crash. Values named authorization, token, password and
 * the like are replaced by `[redacted]`; characters that could hide or reorder a line on a screen are written as JSON
 * escapes.
 *
 * @param destination instead of standard output
 */
export function createLogger(
  app: string,
  level: LogLevel = "info",
  destination?: { write(line: string): void },
): Logger {
  return pino(
    {
      level,
      base: { app },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => errorFields(error, level === "debug" || level === "trace") },
      hooks: { streamWrite: escapeInvisible },
      redact: { paths: SECRET_PATHS, censor: "[redacted]" },
    },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

/** A chain of causes is followed this far: an error may be its own cause. */
const MAX_CAUSES = 5;

/**
 * The logged fields of an error, its stack at level `debug` only. pino would log every property: a validation error has the whole input, a database
 * error the values of the statement.
 */
function errorFields(error: unknown, withStack: boolean, depth = 0): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  return {
    type: error.name,
    message: error.message,
    ...("code" in error ? { code: String(error.code) } : {}),
    ...(withStack ? { stack: error.stack } : {}),
    ...(error.cause === undefined || depth === MAX_CAUSES
      ? {}
      : { cause: errorFields(error.cause, withStack, depth + 1) }),
  };
}

/** The level that LOG_LEVEL names, `info` for anything else: the invalid setting is reported by `loadConfig`. */
export function logLevelOf(text: string | undefined): LogLevel {
  return logLevels.find((level) => level === text) ?? "info";
}
