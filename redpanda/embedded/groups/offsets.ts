/** Committed offsets of consumer groups, durable in the journal. Kept until the group or the topic is deleted. */
import type { Change, Journal, Json } from "../storage/journal.ts";
import { MAX_STRING_BYTES } from "../wire/reader.ts";

export interface Committed {
  readonly offset: number;
  readonly leaderEpoch: number;
  readonly metadata: string;
}

export interface PartitionRef {
  readonly topic: string;
  readonly partition: number;
}

const GROUP = "group/";
const OFFSET = "offset/";
/** Not valid in topic names; `GroupCoordinator` refuses group ids that contain it. */
const SEPARATOR = "\0";

export class Offsets {
  constructor(private readonly journal: Journal) {}

  /** Resolves when all commits are durable. @param protocolType describes the group while it has no members. */
  async commit(
    group: string,
    protocolType: string,
    commits: readonly (PartitionRef & Committed)[],
  ): Promise<void> {
    await this.journal.write(this.changes(group, protocolType, commits));
  }

  /** The journal changes that commit. */
  changes(group: string, protocolType: string, commits: readonly (PartitionRef & Committed)[]): Change[] {
    const changes: Change[] = commits.map(({ topic, partition, offset, leaderEpoch, metadata }) => [
      offsetKey(group, topic, partition),
      [offset, leaderEpoch, metadata],
    ]);
    if (this.protocolType(group) !== protocolType) changes.push([GROUP + group, protocolType]);
    return changes;
  }

  get(group: string, { topic, partition }: PartitionRef): Committed | undefined {
    return toCommitted(this.journal.get(offsetKey(group, topic, partition)));
  }

  /** The partitions with a committed offset of the group. */
  partitions(group: string): PartitionRef[] {
    return [...this.journal.entries(OFFSET + group + SEPARATOR)].map(([key]) => partitionOf(key));
  }

  /** The ids of the groups with committed offsets, except `unlisted`. */
  groups(): string[] {
    return this.#groups().filter((group) => this.#isListed(group));
  }

  /** Groups of an earlier version, whose id or protocol type is longer than a string of the protocol may be. */
  unlisted(): string[] {
    return this.#groups().filter((group) => !this.#isListed(group));
  }

  /** Undefined when the group has no committed offset. */
  protocolType(group: string): string | undefined {
    const type = this.journal.get(GROUP + group);
    return typeof type === "string" ? type : undefined;
  }

  /** Resolves when those of the partitions that are committed are deleted. The group stays. */
  async delete(group: string, partitions: readonly PartitionRef[]): Promise<void> {
    const keys = partitions.map(({ topic, partition }) => offsetKey(group, topic, partition));
    const changes = keys
      .filter((key) => this.journal.get(key) !== undefined)
      .map((key): Change => [key, null]);
    if (changes.length > 0) await this.journal.write(changes);
  }

  /** Resolves when the group and its offsets are deleted. A commit that is called later creates the group again. */
  async deleteGroup(group: string): Promise<void> {
    await this.journal.write([[GROUP + group, null], ...this.#deletions(group)]);
    // What was being committed meanwhile, for the group that is deleted.
    await this.journal.settled();
    if (this.protocolType(group) === undefined) await this.journal.write(this.#deletions(group));
  }

  /** The changes that delete all offsets of deleted topics, so that a new topic of the same name starts without them. */
  deletions(isDeleted: (topic: string) => boolean): Change[] {
    const keys = [...this.journal.entries(OFFSET)].map(([key]) => key);
    return keys.filter((key) => isDeleted(partitionOf(key).topic)).map((key) => [key, null]);
  }

  #deletions(group: string): Change[] {
    return this.partitions(group).map(({ topic, partition }) => [offsetKey(group, topic, partition), null]);
  }

  #groups(): string[] {
    return [...this.journal.entries(GROUP)].map(([key]) => key.slice(GROUP.length));
  }

  #isListed(group: string): boolean {
    return [group, this.protocolType(group) ?? ""].every(
      (text) => Buffer.byteLength(text) <= MAX_STRING_BYTES,
    );
  }
}

function offsetKey(group: string, topic: string, partition: number): string {
  return [OFFSET + group, topic, partition].join(SEPARATOR);
}

function partitionOf(key: string): PartitionRef {
  const [, topic = "", partition] = key.split(SEPARATOR);
  return { topic, partition: Number(partition) };
}

function toCommitted(value: Json | undefined): Committed | undefined {
  if (!Array.isArray(value)) return undefined;
  const [offset, leaderEpoch, metadata] = value;
  return { offset: Number(offset), leaderEpoch: Number(leaderEpoch), metadata: String(metadata) };
}
