/** How a topic stands in the journal and on disk, and what it may be called and consist of. */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { Json } from "../storage/journal.ts";

/** Each partition holds a file open; a request for more is a slip of the keyboard. */
export const MAX_PARTITIONS = 1000;

export interface TopicEntry {
  /** 32 hexadecimal digits; a topic that is deleted and made again gets another one (KIP-516). */
  readonly id: string;
  readonly partitions: number;
  /** Configurations that differ from the defaults. */
  readonly overrides: Readonly<Record<string, string>>;
}

const PREFIX = "topic/";

export function topicKey(name: string): string {
  return PREFIX + name;
}

/** Where DeleteRecords keeps the first offset that may be read. */
export function startKey({ id }: { readonly id: string }, partition: number): string {
  return `start/${id}/${partition}`;
}

/** The id keeps apart topics that differ only in case, on file systems that do not; 233 characters at most. */
export function directoryName({ name, id }: { readonly name: string; readonly id: string }): string {
  return `${name.slice(0, 200)}.${id}`;
}

/** All topics that there are. */
export function* readTopicEntries(
  entries: (prefix: string) => Iterable<readonly [key: string, value: Json]>,
): Generator<{ name: string; entry: TopicEntry }> {
  for (const [key, value] of entries(PREFIX)) yield { name: key.slice(PREFIX.length), entry: toEntry(value) };
}

/** The journal's checksums have proved that this is what was written; this proves that this version wrote it. */
function toEntry(value: Json): TopicEntry {
  if (typeof value === "object" && value !== null && "id" in value) {
    const { id, partitions, overrides } = value;
    if (typeof id === "string" && typeof partitions === "number" && typeof overrides === "object") {
      const texts = Object.entries(overrides ?? {}).map(([name, text]) => [name, String(text)]);
      return { id, partitions, overrides: Object.fromEntries(texts) };
    }
  }
  throw new Error(`the journal holds a topic that this version cannot read: ${JSON.stringify(value)}`);
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
