/** The settings of the broker's process, from environment variables. */
import { isLogLevel, type LogLevel } from "./logger.ts";

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  readonly autoCreateTopics: boolean;
}

/** What is wrong with the settings, a line each. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/**
 * `KAFKA_BROKERS`: the first host:port is listened on and told to clients. `DATA_DIR`: the broker uses `broker` in it.
 * @throws SettingsError naming every bad setting.
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const problems: string[] = [];
  const [address = ""] = (env.KAFKA_BROKERS || "localhost:9092").split(",").map((part) => part.trim());
  const { host, port } = parseAddress(address) ?? { host: "", port: -1 };
  if (host === "") problems.push(`KAFKA_BROKERS: "${address}" is not host:port`);
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
