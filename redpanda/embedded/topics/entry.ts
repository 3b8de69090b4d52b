/** A topic in the journal and on disk; validation of its name and partition count. */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { Json } from "../storage/journal.ts";

/** Each segment of a partition keeps a file open. */
const MAX_PARTITIONS = 1000;

export interface TopicEntry {
  /** 32 hexadecimal digits. A topic that is created again gets a new id (KIP-516). */
  readonly id: string;
  readonly partitions: number;
  /** The configurations that are set. */
  readonly overrides: Readonly<Record<string, string>>;
  /** Whether the topic has ever had `cleanup.policy=compact`: then offsets may be missing from its logs. */
  readonly compacted: boolean;
}

const PREFIX = "topic/";

export function topicKey(name: string): string {
  return PREFIX + name;
}

/** The key of the log start offset that DeleteRecords has set. */
export function startKey({ id }: { readonly id: string }, partition: number): string {
  return `start/${id}/${partition}`;
}

/** The id separates topics that differ only in case on case-insensitive file systems. At most 233 characters. */
export function directoryName({ name, id }: { readonly name: string; readonly id: string }): string {
  return `${name.slice(0, 200)}.${id}`;
}

export function* readTopicEntries(
  entries: (prefix: string) => Iterable<readonly [key: string, value: Json]>,
): Generator<{ name: string; entry: TopicEntry }> {
  for (const [key, value] of entries(PREFIX)) yield { name: key.slice(PREFIX.length), entry: toEntry(value) };
}

/** The journal checks its checksums; this checks that the entry has the format of this version. */
function toEntry(value: Json): TopicEntry {
  if (typeof value === "object" && value !== null && "id" in value) {
    const { id, partitions, overrides, compacted = false } = value;
    if (typeof id === "string" && typeof partitions === "number" && typeof overrides === "object") {
      const texts = Object.entries(overrides ?? {}).map(([name, text]) => [name, String(text)]);
      return { id, partitions, overrides: Object.fromEntries(texts), compacted: compacted === true };
    }
  }
  throw new Error(`the journal has a topic entry of an unknown format: ${JSON.stringify(value)}`);
}

/** Source: Apache Kafka, org.apache.kafka.common.internals.Topic. @throws KafkaError INVALID_TOPIC_EXCEPTION */
export function checkTopicName(name: string): void {
  if (!/^[a-zA-Z0-9._-]{1,249}$/.test(name) || name === "." || name === "..") {
    throw new KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, "a topic name is 1 to 249 of a-z A-Z 0-9 . _ -");
  }
}

/** @throws KafkaError INVALID_PARTITIONS */
export function checkPartitionCount(count: number): void {
  if (!(count >= 1 && count <= MAX_PARTITIONS)) {
    throw new KafkaError(ErrorCode.INVALID_PARTITIONS, `a topic has 1 to ${MAX_PARTITIONS} partitions`);
  }
}
