/**
 * The topics and their logs. What exists is what the journal says; a directory without a journal entry is a creation or
 * a deletion that a crash interrupted, and is removed at the next start.
 */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Disk } from "./disk.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import type { Journal, Json } from "./journal.ts";
import { PartitionLog } from "./log.ts";
import type { Logger } from "./logger.ts";
import { parseTopicConfig, type TopicConfig } from "./topic-config.ts";
import { NO_TOPIC_ID, type TopicRef } from "./topic-ref.ts";

/** Each partition holds a file open; a request for more is a slip of the keyboard. */
export const MAX_PARTITIONS = 10_000;

export interface Topic {
  readonly name: string;
  /** 32 hexadecimal digits; a topic that is deleted and made again gets another one (KIP-516). */
  readonly id: string;
  readonly overrides: Readonly<Record<string, string>>;
  readonly config: TopicConfig;
  readonly partitions: PartitionLog[];
}

interface TopicEntry {
  readonly id: string;
  readonly partitions: number;
  readonly overrides: Record<string, string>;
}

const TOPIC = "topic/";
const START = "start/";

export class Topics {
  readonly #byName = new Map<string, Topic>();
  readonly #byId = new Map<string, Topic>();
  /** Names for which a creation, growth or deletion is under way. */
  readonly #changing = new Set<string>();

  constructor(
    private readonly root: string,
    private readonly disk: Disk,
    private readonly journal: Journal,
    private readonly logger: Logger,
  ) {}

  /** Opens every log. To be called once, before anything else. */
  async load(): Promise<void> {
    await this.disk.makeDirectory(this.root);
    for (const [key, value] of this.journal.entries(TOPIC)) {
      const entry = value as Json & TopicEntry;
      this.#add(await this.#open(key.slice(TOPIC.length), entry));
    }
    const known = new Set([...this.#byName.values()].map(directoryName));
    for (const name of await readdir(this.root))
      if (!known.has(name)) await this.disk.remove(join(this.root, name));
  }

  find({ name, id }: TopicRef): Topic | undefined {
    return name === null ? this.#byId.get(id ?? NO_TOPIC_ID) : this.#byName.get(name);
  }

  /** @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION, or UNKNOWN_TOPIC_ID when asked by id. */
  resolve(ref: TopicRef): Topic {
    const topic = this.find(ref);
    const { UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode;
    if (!topic) throw new KafkaError(ref.name === null ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION);
    return topic;
  }

  all(): Topic[] {
    return [...this.#byName.values()];
  }

  /** @throws KafkaError as `resolve` does. */
  log(ref: TopicRef, partition: number): PartitionLog {
    const log = this.resolve(ref).partitions[partition];
    if (!log) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    return log;
  }

  /** Checks everything that `create` would refuse. @throws KafkaError */
  checkNew(name: string, partitions: number, overrides: Readonly<Record<string, string>>): void {
    checkTopicName(name);
    if (this.#byName.has(name) || this.#changing.has(name)) {
      throw new KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, `topic ${name} already exists`);
    }
    checkPartitionCount(partitions);
    parseTopicConfig(overrides);
  }

  /** Resolves when the topic is durable and can be used. @throws KafkaError */
  async create(name: string, partitions: number, overrides: Record<string, string>): Promise<Topic> {
    this.checkNew(name, partitions, overrides);
    return this.#exclusively(name, async () => {
      const entry = { id: randomBytes(16).toString("hex"), partitions, overrides };
      const topic = await this.#open(name, entry);
      await this.journal.write([[TOPIC + name, entry]]);
      this.#add(topic);
      return topic;
    });
  }

  /** @throws KafkaError INVALID_PARTITIONS when `count` is not more than there are. */
  async grow(topic: Topic, count: number, validateOnly: boolean): Promise<void> {
    checkPartitionCount(count);
    if (count <= topic.partitions.length) {
      const message = `topic ${topic.name} has ${topic.partitions.length} partitions already`;
      throw new KafkaError(ErrorCode.INVALID_PARTITIONS, message);
    }
    if (validateOnly) return;
    await this.#exclusively(topic.name, async () => {
      const { id, overrides, config } = topic;
      const added: PartitionLog[] = [];
      for (let i = topic.partitions.length; i < count; i++) added.push(await this.#openLog(topic, i, config));
      await this.journal.write([[TOPIC + topic.name, { id, partitions: count, overrides }]]);
      topic.partitions.push(...added);
    });
  }

  async delete(topic: Topic): Promise<void> {
    await this.#exclusively(topic.name, async () => {
      const starts = topic.partitions.map((_, index) => [startKey(topic, index), null] as const);
      await this.journal.write([[TOPIC + topic.name, null], ...starts]);
      this.#byName.delete(topic.name);
      this.#byId.delete(topic.id);
      for (const log of topic.partitions) await log.close();
      await this.disk.remove(join(this.root, directoryName(topic)));
    });
  }

  /** Makes the offsets below `offset` unreadable, durably; the files shrink when retention runs. */
  async deleteRecords(topic: Topic, partition: number, offset: number): Promise<void> {
    const log = this.log(topic, partition);
    if (offset <= log.startOffset) return;
    await this.journal.write([[startKey(topic, partition), offset]]);
    log.startOffset = Math.max(log.startOffset, offset);
  }

  async close(): Promise<void> {
    await Promise.all(this.all().flatMap((topic) => topic.partitions.map((log) => log.close())));
  }

  #add(topic: Topic): void {
    this.#byName.set(topic.name, topic);
    this.#byId.set(topic.id, topic);
  }

  async #open(name: string, entry: TopicEntry): Promise<Topic> {
    const { id, overrides } = entry;
    const config = parseTopicConfig(overrides);
    const indexes = Array.from({ length: entry.partitions }, (_, index) => index);
    const partitions = await Promise.all(indexes.map((index) => this.#openLog({ name, id }, index, config)));
    return { name, id, overrides, config, partitions };
  }

  #openLog(topic: Pick<Topic, "name" | "id">, partition: number, config: TopicConfig): Promise<PartitionLog> {
    const directory = join(this.root, directoryName(topic), String(partition));
    const start = this.journal.get(startKey(topic, partition));
    const options = { directory, disk: this.disk, config, logger: this.logger };
    return PartitionLog.open(options, typeof start === "number" ? start : 0);
  }

  /** Two changes of one topic do not overlap; the later one is told to come again. */
  async #exclusively<T>(name: string, change: () => Promise<T>): Promise<T> {
    if (this.#changing.has(name))
      throw new KafkaError(ErrorCode.REQUEST_TIMED_OUT, `topic ${name} is being changed`);
    this.#changing.add(name);
    try {
      return await change();
    } finally {
      this.#changing.delete(name);
    }
  }
}

/** The id keeps apart topics that differ only in case on file systems that do not; 233 characters at most. */
function directoryName({ name, id }: Pick<Topic, "name" | "id">): string {
  return `${name.slice(0, 200)}.${id}`;
}

function startKey({ id }: Pick<Topic, "id">, partition: number): string {
  return `${START}${id}/${partition}`;
}

/** Source: Apache Kafka, org.apache.kafka.common.internals.Topic. @throws KafkaError INVALID_TOPIC_EXCEPTION */
export function checkTopicName(name: string): void {
  if (!/^[a-zA-Z0-9._-]{1,249}$/.test(name) || name === "." || name === "..") {
    throw new KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, "a topic name is 1 to 249 of a-z A-Z 0-9 . _ -");
  }
}

function checkPartitionCount(count: number): void {
  if (!(count >= 1 && count <= MAX_PARTITIONS)) {
    throw new KafkaError(ErrorCode.INVALID_PARTITIONS, `a topic has 1 to ${MAX_PARTITIONS} partitions`);
  }
}
