/** The offsets that consumer groups commit, durable in the journal. They stay until the group or the topic is deleted. */
import type { Change, Journal, Json } from "../storage/journal.ts";

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
/** Neither group ids that anybody uses nor topic names contain it; ids that do are refused, see `GroupCoordinator`. */
const SEPARATOR = "\0";

export class Offsets {
  constructor(private readonly journal: Journal) {}

  /** Resolves when all of them are durable. @param protocolType is kept to describe the group while it has no members. */
  async commit(
    group: string,
    protocolType: string,
    commits: readonly (PartitionRef & Committed)[],
  ): Promise<void> {
    const changes: Change[] = commits.map(({ topic, partition, offset, leaderEpoch, metadata }) => [
      offsetKey(group, topic, partition),
      [offset, leaderEpoch, metadata],
    ]);
    if (this.protocolType(group) !== protocolType) changes.push([GROUP + group, protocolType]);
    await this.journal.write(changes);
  }

  get(group: string, { topic, partition }: PartitionRef): Committed | undefined {
    return toCommitted(this.journal.get(offsetKey(group, topic, partition)));
  }

  /** The partitions for which the group has committed. */
  partitions(group: string): PartitionRef[] {
    return [...this.journal.entries(OFFSET + group + SEPARATOR)].map(([key]) => partitionOf(key));
  }

  /** The ids of the groups that have committed. */
  groups(): string[] {
    return [...this.journal.entries(GROUP)].map(([key]) => key.slice(GROUP.length));
  }

  /** Undefined when the group has committed nothing. */
  protocolType(group: string): string | undefined {
    const type = this.journal.get(GROUP + group);
    return typeof type === "string" ? type : undefined;
  }

  async deleteGroup(group: string): Promise<void> {
    const keys = this.partitions(group).map(({ topic, partition }) => offsetKey(group, topic, partition));
    await this.journal.write([GROUP + group, ...keys].map((key) => [key, null]));
  }

  /** What forgets the offsets for a topic: one made anew under the same name begins without them. */
  changesToForget(topic: string): Change[] {
    const keys = [...this.journal.entries(OFFSET)].map(([key]) => key);
    return keys.filter((key) => partitionOf(key).topic === topic).map((key) => [key, null]);
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
