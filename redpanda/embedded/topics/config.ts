/**
 * Topic configurations: names, defaults, validation.
 * Source: https://kafka.apache.org/documentation/#topicconfigs; an entry notes where its default differs.
 */
import { ErrorCode, KafkaError } from "../errors.ts";

/** The settings in the form that the broker uses. */
export interface TopicConfig {
  readonly compact: boolean;
  readonly delete: boolean;
  /** -1: no limit. */
  readonly retentionMs: number;
  /** -1: no limit. */
  readonly retentionBytes: number;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly maxMessageBytes: number;
  readonly minCompactionLagMs: number;
  readonly minCleanableDirtyRatio: number;
  readonly deleteRetentionMs: number;
  /** How much earlier than now the timestamp of a record may be. */
  readonly messageTimestampBeforeMaxMs: number;
  readonly messageTimestampAfterMaxMs: number;
}

/** Type codes of what has a configuration. The others have none here. */
export const ResourceType = { topic: 2, broker: 4 } as const;

/** Type codes in DescribeConfigs responses. */
export const ConfigType = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 } as const;

interface Definition {
  readonly type: (typeof ConfigType)[keyof typeof ConfigType];
  readonly default: string;
  /** Whether the value is valid. */
  readonly allows: (value: string) => boolean;
}

const HOUR_MS = 60 * 60 * 1000;
const WEEK_MS = 7 * 24 * HOUR_MS;

const MAX_LONG = "9223372036854775807";

const long = (value: number | string, min: number, max = Number(MAX_LONG)): Definition => ({
  type: ConfigType.long,
  default: String(value),
  allows: (text) => /^-?\d+$/.test(text) && Number(text) >= min && Number(text) <= max,
});
const int = (value: number, min: number, max: number): Definition => ({
  ...long(value, min, max),
  type: ConfigType.int,
});
const throttledReplicas: Definition = {
  type: ConfigType.list,
  default: "",
  allows: (text) => text === "" || text === "*" || /^\d+:\d+(,\d+:\d+)*$/.test(text),
};
const oneOf = (...values: [string, ...string[]]): Definition => ({
  type: ConfigType.string,
  default: values[0],
  allows: (text) => values.includes(text),
});

const definitions: Readonly<Record<string, Definition>> = {
  "cleanup.policy": {
    type: ConfigType.list,
    default: "delete",
    // Nothing: the log is kept for ever, and not compacted.
    allows: (text) =>
      /^\s*$/.test(text) || text.split(",").every((policy) => /^\s*(delete|compact)\s*$/.test(policy)),
  },
  "retention.ms": long(WEEK_MS, -1),
  "retention.bytes": long(-1, -1),
  // 1 GiB in Kafka. Smaller here, because a segment is verified as a whole.
  "segment.bytes": long(64 * 1024 * 1024, 14),
  "segment.ms": long(WEEK_MS, 1),
  "max.message.bytes": long(1024 * 1024 + 12, 0),
  "min.compaction.lag.ms": long(0, 0),
  "min.cleanable.dirty.ratio": {
    type: ConfigType.double,
    default: "0.5",
    allows: (text) => /^\d+(\.\d+)?$/.test(text) && Number(text) <= 1,
  },
  "delete.retention.ms": long(24 * HOUR_MS, 0),
  // Only the default is supported; other values are refused.
  "compression.type": oneOf("producer"),
  "message.timestamp.type": oneOf("CreateTime"),
  "message.timestamp.before.max.ms": long(MAX_LONG, 0),
  "message.timestamp.after.max.ms": long(HOUR_MS, 0),
  "remote.storage.enable": oneOf("false"),
  // Accepted without effect: there is one replica, every append is flushed, and files are not tunable.
  "min.insync.replicas": long(1, 1),
  "flush.messages": long(1, 0),
  "flush.ms": long(0, 0),
  "file.delete.delay.ms": long(0, 0),
  "index.interval.bytes": long(4096, 0),
  "segment.index.bytes": long(0, 0),
  "segment.jitter.ms": long(0, 0),
  "max.compaction.lag.ms": long(MAX_LONG, 1),
  preallocate: oneOf("false", "true"),
  "unclean.leader.election.enable": oneOf("false", "true"),
  "compression.gzip.level": {
    ...int(-1, -1, 9),
    allows: (text) => /^(-1|[1-9])$/.test(text),
  },
  "compression.lz4.level": int(9, 1, 17),
  "compression.zstd.level": int(3, -131_072, 22),
  "leader.replication.throttled.replicas": throttledReplicas,
  "follower.replication.throttled.replicas": throttledReplicas,
  "local.retention.ms": long(-2, -2),
  "local.retention.bytes": long(-2, -2),
  "remote.log.copy.disable": oneOf("false", "true"),
  "remote.log.delete.on.disable": oneOf("false", "true"),
};

/**
 * The broker configurations that the defaults come from; those that are not here have none.
 * Source: Apache Kafka, org.apache.kafka.server.config.ServerTopicConfigSynonyms.
 */
const brokerSynonyms: Readonly<Record<string, string>> = {
  "segment.bytes": "log.segment.bytes",
  "segment.ms": "log.roll.ms",
  "segment.jitter.ms": "log.roll.jitter.ms",
  "segment.index.bytes": "log.index.size.max.bytes",
  "flush.messages": "log.flush.interval.messages",
  "flush.ms": "log.flush.interval.ms",
  "retention.bytes": "log.retention.bytes",
  "retention.ms": "log.retention.ms",
  "max.message.bytes": "message.max.bytes",
  "index.interval.bytes": "log.index.interval.bytes",
  "delete.retention.ms": "log.cleaner.delete.retention.ms",
  "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
  "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
  "file.delete.delay.ms": "log.segment.delete.delay.ms",
  "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
  "cleanup.policy": "log.cleanup.policy",
  "unclean.leader.election.enable": "unclean.leader.election.enable",
  "min.insync.replicas": "min.insync.replicas",
  "compression.type": "compression.type",
  "compression.gzip.level": "compression.gzip.level",
  "compression.lz4.level": "compression.lz4.level",
  "compression.zstd.level": "compression.zstd.level",
  preallocate: "log.preallocate",
  "message.timestamp.type": "log.message.timestamp.type",
  "message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
  "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
  "local.retention.ms": "log.local.retention.ms",
  "local.retention.bytes": "log.local.retention.bytes",
};

/** @throws KafkaError INVALID_CONFIG for an unknown name or an invalid value. */
export function parseTopicConfig(overrides: Readonly<Record<string, string>>): TopicConfig {
  for (const [name, value] of Object.entries(overrides)) {
    const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
    if (!definition) throw new KafkaError(ErrorCode.INVALID_CONFIG, `unknown topic config ${name}`);
    if (!definition.allows(value)) {
      throw new KafkaError(ErrorCode.INVALID_CONFIG, `${name} cannot be ${value}`);
    }
  }
  const value = (name: string) => overrides[name] ?? definitions[name]?.default ?? "";
  const policies = value("cleanup.policy")
    .split(",")
    .map((policy) => policy.trim());
  return {
    compact: policies.includes("compact"),
    delete: policies.includes("delete"),
    retentionMs: Number(value("retention.ms")),
    retentionBytes: Number(value("retention.bytes")),
    segmentBytes: Number(value("segment.bytes")),
    segmentMs: Number(value("segment.ms")),
    maxMessageBytes: Number(value("max.message.bytes")),
    minCompactionLagMs: Number(value("min.compaction.lag.ms")),
    minCleanableDirtyRatio: Number(value("min.cleanable.dirty.ratio")),
    deleteRetentionMs: Number(value("delete.retention.ms")),
    messageTimestampBeforeMaxMs: Number(value("message.timestamp.before.max.ms")),
    messageTimestampAfterMaxMs: Number(value("message.timestamp.after.max.ms")),
  };
}

/**
 * As `parseTopicConfig`, and the values fit together. Not for what is stored: an earlier version may have accepted it.
 * @throws KafkaError INVALID_CONFIG
 */
export function checkTopicConfig(overrides: Readonly<Record<string, string>>): TopicConfig {
  const config = parseTopicConfig(overrides);
  const most = overrides["max.compaction.lag.ms"] ?? MAX_LONG;
  if (config.minCompactionLagMs <= Number(most)) return config;
  const message = `min.compaction.lag.ms (${config.minCompactionLagMs}) is larger than max.compaction.lag.ms (${most})`;
  throw new KafkaError(ErrorCode.INVALID_CONFIG, message);
}

/** What an entry of AlterConfigs or IncrementalAlterConfigs does. Source: KIP-339. */
export const Operation = { set: 0, delete: 1, append: 2, subtract: 3 } as const;

export interface ConfigChange {
  readonly name: string;
  /** An `Operation`, or a number that the client made up. */
  readonly operation: number;
  readonly value: string | null;
}

/** The configurations that are set after the changes, not validated. @throws KafkaError */
export function changedOverrides(
  overrides: Readonly<Record<string, string>>,
  changes: readonly ConfigChange[],
): Record<string, string> {
  const changed = new Map(Object.entries(overrides));
  for (const { name, operation, value } of changes) {
    if (operation === Operation.delete) changed.delete(name);
    else if (value === null) throw new KafkaError(ErrorCode.INVALID_REQUEST, `${name} cannot be null`);
    else if (operation === Operation.set) changed.set(name, value);
    else changed.set(name, changedList(name, changed.get(name), operation, value.split(",")));
  }
  return Object.fromEntries(changed);
}

function changedList(name: string, current: string | undefined, operation: number, items: string[]): string {
  if (operation !== Operation.append && operation !== Operation.subtract) {
    // The code that Apache Kafka answers with.
    throw new KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, `unknown operation ${operation}`);
  }
  const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
  if (definition?.type !== ConfigType.list) {
    throw new KafkaError(
      ErrorCode.INVALID_CONFIG,
      `${name} is not a list that items can be added to or removed from`,
    );
  }
  const list = (current ?? definition.default).split(",").filter((item) => item !== "");
  for (const item of items) {
    const at = list.indexOf(item);
    if (operation === Operation.append && at < 0) list.push(item);
    if (operation === Operation.subtract && at >= 0) list.splice(at, 1);
  }
  return list.join(",");
}

export interface ConfigEntry {
  readonly name: string;
  readonly value: string;
  readonly isReadOnly: boolean;
  readonly source: number;
  readonly type: number;
  /** Where the value comes from, and what it would be without it: in order of precedence. */
  readonly synonyms: readonly { readonly name: string; readonly value: string; readonly source: number }[];
}

/** Source codes in DescribeConfigs responses. */
export const ConfigSource = { topic: 1, broker: 4, default: 5 } as const;

/** Every configuration with its effective value, for DescribeConfigs. */
export function describeTopicConfig(overrides: Readonly<Record<string, string>>): ConfigEntry[] {
  return Object.entries(definitions).map(([name, definition]) => {
    const set = Object.hasOwn(overrides, name) ? overrides[name] : undefined;
    const synonym = brokerSynonyms[name];
    const byDefault = synonym !== undefined && {
      name: synonym,
      value: definition.default,
      source: ConfigSource.default,
    };
    const byTopic = set !== undefined && { name, value: set, source: ConfigSource.topic };
    return {
      name,
      value: set ?? definition.default,
      isReadOnly: false,
      source: set === undefined ? ConfigSource.default : ConfigSource.topic,
      type: definition.type,
      synonyms: [byTopic, byDefault].filter((entry) => entry !== false),
    };
  });
}
