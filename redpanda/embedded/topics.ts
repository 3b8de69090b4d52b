/**
 * The topics and their logs. A topic exists if the journal has its entry. A directory without an entry, such as an
 * interrupted creation or deletion leaves, is moved to `set-aside` at the next start.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { ErrorCode, KafkaError } from "./errors.ts";
import type { LogSummary } from "./log/recovery.ts";
import { isSegment } from "./log/segment.ts";
import { PartitionLog } from "./log.ts";
import { type Logger, messageOf } from "./logger.ts";
import type { Disk } from "./storage/disk.ts";
import type { Change, Journal } from "./storage/journal.ts";
import { checkTopicConfig, parseTopicConfig, type TopicConfig } from "./topics/config.ts";
import {
  checkPartitionCount,
  checkTopicName,
  directoryName,
  readTopicEntries,
  startKey,
  type TopicEntry,
  topicKey,
} from "./topics/entry.ts";
import { NO_TOPIC_ID, type TopicRef } from "./topics/ref.ts";

export interface Topic extends Pick<TopicEntry, "id"> {
  readonly name: string;
  readonly partitions: PartitionLog[];
  /** Changed by `Topics.configure` only, like the next two. */
  overrides: TopicEntry["overrides"];
  config: TopicConfig;
  compacted: boolean;
}

/** What a clean stop records of the logs, by topic and partition. */
export type LogSummaries = Readonly<Record<string, LogSummary>>;

export class Topics {
  /** Where the logs are. */
  readonly root: string;
  readonly #byName = new Map<string, Topic>();
  readonly #byId = new Map<string, Topic>();
  /** The topics that are being created, grown or deleted. */
  readonly #changing = new Set<string>();
  /** The partitions that are being created. */
  #creating = 0;

  constructor(
    private readonly dataDir: string,
    private readonly disk: Disk,
    private readonly journal: Journal,
    private readonly logger: Logger,
    private readonly maxPartitions: number,
  ) {
    this.root = join(dataDir, "topics");
  }

  /** Whether the next start must repair a log as after an unclean stop. */
  get needRecovery(): boolean {
    return this.all().some(({ partitions }) => partitions.some(({ needsRecovery }) => needsRecovery));
  }

  /**
   * Opens every log. Call once, before any other method.
   * @param cleanStop as in `recover`.
   * @param summaries of that stop.
   * @throws Error naming what is missing, when the journal and the directories cannot belong together.
   */
  async load(cleanStop: boolean, summaries: LogSummaries = {}): Promise<void> {
    await this.disk.makeDirectory(this.root);
    const found = await this.disk.list(this.root);
    if (this.journal.isEmpty && found.length > 0) {
      throw new Error(
        `state.journal in ${this.dataDir} is missing or empty, but ${this.root} has ${found[0]}`,
      );
    }
    for (const { name, entry } of readTopicEntries((prefix) => this.journal.entries(prefix))) {
      await this.#checkFiles(name, entry);
      this.#add(await this.#open(name, entry, cleanStop, summaries));
    }
    const known = new Set(this.all().map(directoryName));
    for (const name of found) if (!known.has(name)) await this.#setAside(name);
  }

  get summaries(): LogSummaries {
    const entries = this.all().flatMap((topic) =>
      topic.partitions.flatMap(({ summary }, partition) =>
        summary ? [[summaryKey(topic, partition), summary] as const] : [],
      ),
    );
    return Object.fromEntries(entries);
  }

  /** Verifies what earlier processes wrote, one log after the other, so that damage is reported though nobody reads it. */
  async verify(): Promise<void> {
    for (const { partitions } of this.all()) {
      for (const log of partitions) {
        await log.verify().catch((error: unknown) => {
          const { directory } = log.options;
          if (!log.isClosed)
            this.logger.warn("a log cannot be verified", { log: directory, error: messageOf(error) });
        });
      }
    }
  }

  find({ name, id }: TopicRef): Topic | undefined {
    return name === null ? this.#byId.get(id ?? NO_TOPIC_ID) : this.#byName.get(name);
  }

  all(): Topic[] {
    return [...this.#byName.values()];
  }

  /** @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION, or UNKNOWN_TOPIC_ID for a lookup by id. */
  resolve(ref: TopicRef): Topic {
    const topic = this.find(ref);
    const { UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode;
    if (!topic) throw new KafkaError(ref.name === null ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION);
    return topic;
  }

  /** @throws KafkaError as `resolve` does. */
  log(ref: TopicRef, partition: number): PartitionLog {
    const log = this.resolve(ref).partitions[partition];
    if (!log) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    return log;
  }

  /** @throws KafkaError when `create` would refuse these arguments. */
  checkNew(name: string, partitions: number, overrides: TopicEntry["overrides"]): void {
    checkTopicName(name);
    if (this.#byName.has(name) || this.#changing.has(name)) {
      throw new KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, `topic ${name} already exists`);
    }
    checkPartitionCount(partitions);
    checkTopicConfig(overrides);
    this.#checkTotal(partitions);
  }

  /** Resolves when the topic is durable and usable. @throws KafkaError */
  async create(name: string, partitions: number, overrides: Record<string, string>): Promise<Topic> {
    this.checkNew(name, partitions, overrides);
    return this.#adding(name, partitions, async () => {
      const topic = newTopic(name, { id: randomBytes(16).toString("hex"), overrides, compacted: false });
      topic.partitions.push(...(await this.#createLogs(topic, 0, partitions)));
      await this.#writeEntry(topic, partitions, topic.partitions);
      this.#add(topic);
      this.logger.info("topic created", { topic: name, partitions });
      return topic;
    });
  }

  /** Raises the number of partitions to `count`. @throws KafkaError INVALID_PARTITIONS unless `count` is larger. */
  async grow(topic: Topic, count: number, validateOnly: boolean): Promise<void> {
    const { name, partitions } = topic;
    checkPartitionCount(count);
    if (count <= partitions.length) {
      const message = `topic ${name} has ${partitions.length} partitions already`;
      throw new KafkaError(ErrorCode.INVALID_PARTITIONS, message);
    }
    this.#checkTotal(count - partitions.length);
    if (validateOnly) return;
    await this.#adding(name, count - partitions.length, async () => {
      const added = await this.#createLogs(topic, partitions.length, count);
      await this.#writeEntry(topic, count, added);
      partitions.push(...added);
      this.logger.info("partitions added", { topic: name, partitions: count });
    });
  }

  /** Replaces the configurations that are set, durably. They take effect at once. @throws KafkaError */
  async configure(topic: Topic, overrides: TopicEntry["overrides"], validateOnly: boolean): Promise<void> {
    const config = checkTopicConfig(overrides);
    if (validateOnly) return;
    await this.#exclusively(topic.name, async () => {
      const { name, id, partitions } = topic;
      const compacted = topic.compacted || config.compact;
      await this.journal.write([
        [topicKey(name), { id, partitions: partitions.length, overrides, compacted }],
      ]);
      Object.assign(topic, { overrides, config, compacted });
      this.logger.info("topic configured", { topic: name, overrides: JSON.stringify(overrides) });
    });
  }

  /** @param also the journal changes to apply atomically with the deletion, and those that are due after it. */
  async delete(topic: Topic, also: () => readonly Change[]): Promise<void> {
    await this.#exclusively(topic.name, async () => {
      const starts = topic.partitions.map((_, index): Change => [startKey(topic, index), null]);
      await this.journal.write([[topicKey(topic.name), null], ...starts, ...also()]);
      this.#byName.delete(topic.name);
      this.#byId.delete(topic.id);
      await closeAll(topic.partitions);
      await this.disk.remove(join(this.root, directoryName(topic)));
      // What was being written for the topic during its deletion. No more can come.
      await this.journal.settled();
      const late = also();
      if (late.length > 0) await this.journal.write(late);
      this.logger.info("topic deleted", { topic: topic.name });
    });
  }

  /** Makes the offsets below `offset` unreadable, durably. Retention deletes the files later. */
  async deleteRecords(topic: Topic, partition: number, offset: number): Promise<void> {
    const log = this.log(topic, partition);
    if (offset <= log.startOffset) return;
    await this.journal.write([[startKey(topic, partition), offset]]);
    log.raiseStartOffset(offset);
  }

  async close(): Promise<void> {
    await closeAll(this.all().flatMap((topic) => topic.partitions));
  }

  /** A topic is entered in the journal after its files were created, so they exist. */
  async #checkFiles(name: string, { id, partitions }: TopicEntry): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      const directory = join(this.root, directoryName({ name, id }), String(partition));
      const files = await this.disk.list(directory).catch(() => []);
      if (!files.some(isSegment))
        throw new Error(`partition ${partition} of ${name} has no files in ${directory}`);
    }
  }

  async #setAside(name: string): Promise<void> {
    const folder = join(this.dataDir, "set-aside");
    const to = join(folder, `${name}.${Date.now()}`);
    await this.disk.makeDirectory(folder);
    await this.disk.rename(join(this.root, name), to);
    await this.disk.syncDirectory(folder);
    await this.disk.syncDirectory(this.root);
    this.logger.warn("a directory without a topic was set aside", { name, to });
  }

  #add(topic: Topic): void {
    this.#byName.set(topic.name, topic);
    this.#byId.set(topic.id, topic);
  }

  async #open(name: string, entry: TopicEntry, cleanStop: boolean, summaries: LogSummaries): Promise<Topic> {
    const topic = newTopic(name, entry);
    topic.partitions.push(...(await this.#openLogs(topic, 0, entry.partitions, cleanStop, summaries)));
    return topic;
  }

  /**
   * Each partition has an open file, and a process has a limited number of them.
   * @throws KafkaError POLICY_VIOLATION
   */
  #checkTotal(added: number): void {
    const count = this.all().reduce((sum, { partitions }) => sum + partitions.length, this.#creating);
    if (count + added <= this.maxPartitions) return;
    const message = `the broker has ${count} partitions and may have ${this.maxPartitions} (maxPartitions)`;
    throw new KafkaError(ErrorCode.POLICY_VIOLATION, message);
  }

  /** As `#openLogs`, for new partitions. @throws KafkaError KAFKA_STORAGE_ERROR, and no file stays open */
  async #createLogs(topic: Topic, from: number, to: number): Promise<PartitionLog[]> {
    try {
      return await this.#openLogs(topic, from, to, true);
    } catch (error) {
      this.logger.error("partitions cannot be created", { topic: topic.name, error: messageOf(error) });
      throw new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, messageOf(error));
    }
  }

  /** Runs a change that adds partitions, which count from its beginning on. */
  async #adding<Result>(name: string, count: number, change: () => Promise<Result>): Promise<Result> {
    this.#creating += count;
    try {
      return await this.#exclusively(name, change);
    } finally {
      this.#creating -= count;
    }
  }

  /** Opens the partitions from `from` to `to - 1`; all or none. */
  async #openLogs(
    topic: Topic,
    from: number,
    to: number,
    cleanStop: boolean,
    summaries: LogSummaries = {},
  ): Promise<PartitionLog[]> {
    const opened: PartitionLog[] = [];
    try {
      for (let partition = from; partition < to; partition++) {
        const directory = join(this.root, directoryName(topic), String(partition));
        const startOffset = Number(this.journal.get(startKey(topic, partition)) ?? 0);
        const options = {
          directory,
          disk: this.disk,
          logger: this.logger,
          get config() {
            return topic.config;
          },
        };
        const { compacted: hasGaps } = topic;
        const summary = summaries[summaryKey(topic, partition)];
        opened.push(await PartitionLog.open(options, { startOffset, cleanStop, hasGaps, summary }));
      }
      return opened;
    } catch (error) {
      await closeAll(opened);
      throw error;
    }
  }

  /** Writes the entry durably. @param opened logs to close when that fails. */
  async #writeEntry(
    { name, id, overrides, compacted }: Topic,
    partitions: number,
    opened: PartitionLog[],
  ): Promise<void> {
    try {
      await this.journal.write([[topicKey(name), { id, partitions, overrides, compacted }]]);
    } catch (error) {
      await closeAll(opened);
      throw error;
    }
  }

  /** Refuses a second change of a topic during the first. REQUEST_TIMED_OUT makes clients retry. */
  async #exclusively<T>(name: string, change: () => Promise<T>): Promise<T> {
    if (this.#changing.has(name)) {
      throw new KafkaError(ErrorCode.REQUEST_TIMED_OUT, `topic ${name} is being changed`);
    }
    this.#changing.add(name);
    try {
      return await change();
    } finally {
      this.#changing.delete(name);
    }
  }
}

function newTopic(name: string, { id, overrides, compacted }: Omit<TopicEntry, "partitions">): Topic {
  const config = parseTopicConfig(overrides);
  return { name, id, overrides, config, compacted: compacted || config.compact, partitions: [] };
}

function summaryKey(topic: Pick<Topic, "name" | "id">, partition: number): string {
  return `${directoryName(topic)}/${partition}`;
}

/** Resolves, or fails with the first error, when no log is open any more. */
async function closeAll(logs: readonly PartitionLog[]): Promise<void> {
  const results = await Promise.allSettled(logs.map((log) => log.close()));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
