/** The settings of the broker process, from its arguments and from environment variables. */
import { type Address, formatAddress, parseAddress, parseConnectable } from "./address.ts";
import { type Arguments, type Name, readArguments } from "./arguments.ts";
import type { NewTopic } from "./broker.ts";
import { isLogLevel, type LogLevel, messageOf } from "./logger.ts";
import { checkPartitionCount, checkTopicName } from "./topics/entry.ts";

interface Settings extends Address {
  readonly advertised?: string;
  /** Absent: in memory. */
  readonly dataDir?: string;
  readonly logLevel: LogLevel;
  readonly autoCreateTopics: boolean;
  readonly topics: readonly NewTopic[];
}

/** The message has one line for each problem. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";

  constructor(
    problems: readonly string[],
    /** Whether an argument is wrong, not only environment variables. */
    readonly inArguments: boolean,
  ) {
    super(problems.join("\n"));
  }
}

const LOG_LEVELS = "debug, info, warn, error or silent";

/** Programs that have more levels, as pino does, can share the environment variable. */
const OTHER_LEVELS: Readonly<Record<string, LogLevel>> = { trace: "debug", fatal: "error" };

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The arguments are in `USAGE`. Each overrides its environment variable, which is not looked at then:
 *
 * - `KAFKA_BROKERS`: the broker listens on the first host:port and gives it to clients. Default: `localhost` and
 *   `BROKER_PORT`, 9092 if that is unset too.
 * - `DATA_DIR`, `.data` by default: the broker uses its subdirectory `broker`.
 * - `LOG_LEVEL`: `debug`, `info` (default), `warn`, `error` or `silent`; `trace` is `debug`, and `fatal` is `error`.
 * - `AUTO_CREATE_TOPICS`: `true` or `false` (default).
 *
 * @throws SettingsError naming every problem.
 */
export function readSettings(env: Env, { given, problems }: Arguments = readArguments([])): Settings {
  const found = [...problems];
  let inArguments = problems.length > 0;
  const refuse = (source: string, problem: string) => {
    found.push(`${source}: ${problem}`);
    if (source.startsWith("--")) inArguments = true;
  };
  const last = (name: Name) => given.get(name)?.at(-1);
  const choose = (name: Name, variable: string, otherwise: string): [source: string, value: string] => {
    const value = last(name);
    return value === undefined ? [variable, env[variable] || otherwise] : [`--${name}`, value];
  };

  const [first = ""] = (env.KAFKA_BROKERS ?? "").split(",").map((part) => part.trim());
  const listed = parseAddress(first);
  const isListed = env.KAFKA_BROKERS !== undefined && env.KAFKA_BROKERS !== "";
  if (isListed && !listed && !(given.has("host") && given.has("port"))) {
    refuse("KAFKA_BROKERS", `"${first}" is not host:port`);
  }
  const host = last("host") ?? listed?.host ?? "localhost";
  if (!parseAddress(formatAddress({ host, port: 0 }))) refuse("--host", `"${host}" is not an address`);
  const [portSource, portText] = choose("port", "BROKER_PORT", "9092");
  const port =
    isListed && !given.has("port") ? (listed?.port ?? 0) : parseAddress(`localhost:${portText}`)?.port;
  if (port === undefined) refuse(portSource, `"${portText}" is not a port`);

  const advertised = last("advertised");
  if (advertised !== undefined && !parseConnectable(advertised)) {
    refuse("--advertised", `"${advertised}" is not a host:port to connect to`);
  }
  const inMemory = given.has("in-memory");
  if (inMemory && given.has("data-dir")) refuse("--in-memory", "excludes --data-dir");
  const [levelSource, levelText] = choose("log-level", "LOG_LEVEL", "info");
  const logLevel = levelSource === "LOG_LEVEL" ? (OTHER_LEVELS[levelText] ?? levelText) : levelText;
  if (!isLogLevel(logLevel)) refuse(levelSource, `"${logLevel}" is not ${LOG_LEVELS}`);
  const autoCreate = given.has("auto-create") ? "true" : env.AUTO_CREATE_TOPICS || "false";
  if (autoCreate !== "true" && autoCreate !== "false") {
    refuse("AUTO_CREATE_TOPICS", `"${autoCreate}" is not true or false`);
  }
  const topics = (given.get("topic") ?? []).map(parseTopic);
  for (const [index, { name, problem }] of topics.entries()) {
    if (problem) refuse("--topic", problem);
    else if (topics.findIndex((topic) => topic.name === name) < index)
      refuse("--topic", `"${name}" is given twice`);
  }

  if (found.length > 0 || port === undefined || !isLogLevel(logLevel)) {
    throw new SettingsError(found, inArguments);
  }
  return {
    host,
    port,
    ...(advertised !== undefined && { advertised }),
    ...(!inMemory && { dataDir: `${last("data-dir") ?? (env.DATA_DIR || ".data")}/broker` }),
    logLevel,
    autoCreateTopics: autoCreate === "true",
    topics: topics.map(({ name, partitions }) => ({ name, partitions })),
  };
}

/** `name:partitions`, or a name for one partition. */
function parseTopic(text: string): { name: string; partitions: number; problem?: string } {
  const [name = "", partitions = "1", ...rest] = text.split(":");
  const topic = { name, partitions: /^\d+$/.test(partitions) && rest.length === 0 ? Number(partitions) : 0 };
  try {
    checkTopicName(name);
    checkPartitionCount(topic.partitions);
    return topic;
  } catch (error) {
    return { ...topic, problem: `"${text}": ${messageOf(error)}` };
  }
}
