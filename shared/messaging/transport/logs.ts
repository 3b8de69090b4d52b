import type { IncomingRecord } from "./transport.ts";

/** Offsets of a partition that can be read. */
export interface LogBounds {
  readonly partition: number;
  /** The first offset that the partition still has. */
  readonly earliest: number;
  /** One past the last offset. */
  readonly latest: number;
}

/** The topics of a cluster, as a recovery reads them: as a member of no group, and changing nothing. */
export interface Logs {
  /** The partitions of a topic; none where it does not exist. */
  partitions(topic: string): Promise<readonly LogBounds[]>;
  /**
   * Some of the records from an offset on. None where the log has nothing more.
   *
   * @param from not before the first offset that the log has
   * @throws when no broker answers, or a batch cannot be decoded
   */
  read(topic: string, partition: number, from: number): Promise<readonly IncomingRecord[]>;
  /** What a consumer group has committed, as one past the last offset; undefined where it has committed nothing. */
  committed(group: string, topic: string, partition: number): Promise<number | undefined>;
}

/** Every record of a partition from an offset to its present end, a part of it at a time. */
export async function* recordsFrom(
  logs: Logs,
  topic: string,
  { partition, earliest, latest }: LogBounds,
  from: number,
): AsyncGenerator<IncomingRecord> {
  let next = Math.max(from, earliest);
  while (next < latest) {
    const records = await logs.read(topic, partition, next);
    for (const record of records) if (record.offset >= next && record.offset < latest) yield record;
    const last = records.at(-1);
    // The rest of the log has no records: compaction removed them.
    if (last === undefined) return;
    next = last.offset + 1;
  }
}
