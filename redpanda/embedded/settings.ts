/** The settings of the broker process, from environment variables. */
import { isLogLevel, type LogLevel } from "./logger.ts";

interface Settings {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  readonly autoCreateTopics: boolean;
}

/** The message has one line per invalid setting. */
class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/**
 * - `KAFKA_BROKERS`: the broker listens on the first host:port and gives it to clients. Default: `localhost` and
 *   `BROKER_PORT`, 9092 if that is unset too.
 * - `DATA_DIR`, `.data` by default: the broker uses its subdirectory `broker`.
 * - `LOG_LEVEL`: `debug`, `info` (default), `warn`, `error` or `silent`.
 * - `AUTO_CREATE_TOPICS`: `true` or `false` (default).
 *
 * @throws SettingsError naming every invalid setting.
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const problems: string[] = [];
  const [address = ""] = (env.KAFKA_BROKERS || `localhost:${env.BROKER_PORT || "9092"}`)
    .split(",")
    .map((part) => part.trim());
  const { host, port } = parseAddress(address) ?? { host: "", port: -1 };
  if (host === "") {
    problems.push(
      env.KAFKA_BROKERS
        ? `KAFKA_BROKERS: "${address}" is not host:port`
        : `BROKER_PORT: "${env.BROKER_PORT}" is not a port`,
    );
  }
  const logLevel = env.LOG_LEVEL || "info";
  if (!isLogLevel(logLevel)) {
    problems.push(`LOG_LEVEL: "${logLevel}" is not debug, info, warn, error or silent`);
  }
  const autoCreate = env.AUTO_CREATE_TOPICS || "false";
  if (autoCreate !== "true" && autoCreate !== "false") {
    problems.push(`AUTO_CREATE_TOPICS: "${autoCreate}" is not true or false`);
  }
  if (problems.length > 0 || !isLogLevel(logLevel)) throw new SettingsError(problems.join("\n"));
  const dataDir = `${env.DATA_DIR || ".data"}/broker`;
  return { host, port, dataDir, logLevel, autoCreateTopics: autoCreate === "true" };
}

/** `host:port`, or `[address]:port` for IPv6. */
function parseAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host && port <= 65535 ? { host, port } : undefined;
}
