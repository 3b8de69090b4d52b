import type { Topic } from "../contract/define.ts";

/**
 * The two interfaces between the kit and a broker. An implementation has to keep the promises written here;
 * `kafka/` and `memory.ts` do, and the suite in `conformance/` tests it.
 */

/** A record to publish. */
export interface OutgoingRecord {
  readonly topic: string;
  /** Records of one key go to one partition. `null`: any partition. */
  readonly key: string | null;
  readonly value: Uint8Array | string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a record takes besides its content, at most: lengths, offset, time (record batch version 2). */
const RECORD_OVERHEAD_BYTES = 40;

/** How many bytes a record takes in a batch that is not compressed, at most. */
export function recordBytes({ key, value, headers }: OutgoingRecord): number {
  const lengthOf = (part: Uint8Array | string | null) => (part === null ? 0 : Buffer.byteLength(part));
  let bytes = RECORD_OVERHEAD_BYTES + lengthOf(key) + lengthOf(value);
  for (const name of Object.keys(headers)) bytes += 4 + lengthOf(name) + lengthOf(headers[name] ?? null);
  return bytes;
}

/** Where a record is. Those of a partition are handled in the order of their offsets, but for one that was a dead letter. */
export interface RecordPosition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** A record that was read. */
export interface IncomingRecord extends RecordPosition {
  /** When it was sent or appended, as the topic has it, in milliseconds since 1970. A record that is sent again has another time. */
  readonly timestampMs: number;
  /** One that is not UTF-8 is given as `base64:…`. */
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes, where `key` and `headers` are not all of them: not UTF-8, a header without a value or given twice. */
  readonly exact?: ExactBytes;
}

/** Key and headers of a record as they are stored. */
export interface ExactBytes {
  readonly key: Uint8Array | null;
  readonly headers: readonly (readonly [name: Uint8Array, value: Uint8Array | null])[];
}

/** One name for a partition, as a key of maps and in logs. */
export function topicPartition(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/**
 * Why a record was not stored, as far as it decides what the sender does next:
 *
 * - `record`: the broker refuses the record, or another one of the same send and partition; sent alone, the record itself
 * - `topic`: the topic does not exist, or the client may not write to it
 * - `held`: the topic has not the partitions that its keys are distributed among; an operator decides about it
 * - `transient`: the record can be stored later
 * - `unsent`: it was not tried, because an earlier record of the same `publish` failed
 */
export interface PublishFailure {
  readonly scope: "record" | "topic" | "held" | "transient" | "unsent";
  readonly error: string;
}

/** Some of the records were not stored; all others were acknowledged, and must not be sent again. */
export class PublishError extends Error {
  override readonly name = "PublishError";
  /** By the objects that were given to `publish`. */
  readonly failures: ReadonlyMap<OutgoingRecord, PublishFailure>;

  constructor(failures: ReadonlyMap<OutgoingRecord, PublishFailure>) {
    const [first] = failures.values();
    super(`${failures.size} records were not stored: ${first?.error}`);
    this.failures = failures;
  }
}

export interface Publisher {
  /**
   * Resolves when the broker has acknowledged every record; how durable they are then is the broker's promise.
   * Records of one partition are stored in the order of the array. A send whose response is lost is repeated, so
   * some records may be stored twice, the whole run of them after the first one.
   *
   * @throws PublishError, which says which records were stored: of one partition, none after the first that was not.
   *   After any other error each of the records may have been stored: the caller publishes the whole array again, and
   *   the readers' inboxes drop the duplicates
   */
  publish(records: readonly OutgoingRecord[]): Promise<void>;
}

/** Some records of one partition, in the order of the log, beginning at the offset that the reader asked for. */
export interface Batch {
  readonly topic: string;
  readonly partition: number;
  /**
   * Empty only if `undecodable` is given, or if the log begins after the offset that the reader asked for, because
   * retention removed what was there, and no record follows that could say so.
   */
  readonly records: readonly IncomingRecord[];
  /** What follows the records, where it cannot be decoded. */
  readonly undecodable?: UndecodableBatch;
  /** The first offset that the log still has, as it was when the records were read: retention moves it forward. */
  readonly start: number;
  /** One past the last offset of the log, as it was when the records were read. */
  readonly end: number;
  /**
   * The leader epoch in which the first record was appended. Records that replace a lost end of the log have a higher
   * one than those before. 0 where the broker has none.
   */
  readonly epoch: number;
}

/** Records that are stored together and cannot be taken apart: an unknown codec, damaged compressed data. */
export interface UndecodableBatch {
  readonly offset: number;
  /** The last one of them. */
  readonly lastOffset: number;
  /** As they are stored. */
  readonly bytes: Uint8Array;
  readonly cause: string;
}

/** Where the reader is after a batch. */
export interface Progress {
  /**
   * The offset to deliver next: one past the last record to continue, an earlier one to read again. An offset that
   * the log does not have means its beginning.
   */
  readonly next: number;
  /** Deliver nothing of this partition for so long, unless it is assigned again. Other partitions continue. */
  readonly pauseMs?: number;
}

export interface SubscribeOptions {
  readonly group: string;
  /** The same for all members of a group. A topic that does not exist is read once it does. */
  readonly topics: readonly string[];
  /**
   * The offset from which a partition is read. Called each time the partition is assigned, and when delivery has to
   * go back because the log was replaced by a shorter one. `undefined`, or an offset that the log does not have,
   * means the beginning of the log. When it throws it is called again later.
   */
  startAt(topic: string, partition: number): number | undefined;
  /**
   * Whether the offsets of `startAt` are those of records that were delivered before. Then a log that ends at such an
   * offset is another one, and is read from its beginning; otherwise the next record is delivered once there is one.
   */
  readonly rereadsLast?: boolean;
  /**
   * After a fetch that brought records, the next one begins at least so long after it: what arrives meanwhile is
   * delivered together. In milliseconds, 0 unless given. A transport without fetches ignores it.
   */
  readonly fetchIntervalMs?: number;
  /** Called when nothing more of a partition can be delivered: its log has been read to the end. */
  caughtUp?(topic: string, partition: number): void;
  /**
   * Told, when a partition is assigned, how far the group had committed to the broker that it was, before anything of
   * this assignment is committed. A transport whose broker keeps no such offsets does not call it.
   */
  committed?(topic: string, partition: number, offset: number): void;
  /**
   * Handles a batch. For one partition, a subscription calls it again only after the previous call resolved. After a
   * rejection the batch is delivered again, later.
   */
  handle(batch: Batch): Promise<Progress>;
}

export interface Subscription {
  /** Whether records are fetched, or would be if there were any. */
  healthy(): boolean;
  /** Why nothing is fetched, in words; undefined when that works, or has not failed yet. */
  failure?(): string | undefined;
  /**
   * Ends the subscription. Resolves when no handler runs any more: soon after the last one, whatever the broker
   * does. Nothing is delivered afterwards. May be called again.
   */
  stop(): Promise<void>;
}

export interface Subscriber {
  subscribe(options: SubscribeOptions): Subscription;
}

export interface FollowOptions {
  /** With one partition. */
  readonly topic: string;
  /**
   * The first offset to read. One that the log does not have means its beginning.
   *
   * @defaultValue 0
   */
  readonly from?: number;
  /** Called for each record, in the order of the log: from its beginning again after the log was replaced by another one. */
  deliver(record: IncomingRecord): void;
  /**
   * Called whenever everything has been delivered that the log had when it was asked, also if nothing is new.
   *
   * @param end one past the last offset: if nothing was delivered before it, that was removed from the log
   */
  caughtUp(end: number): void;
  /** Told why the topic cannot be read, each time that was tried. It is tried again by itself. */
  failed?(error: Error): void;
}

/** A topic as the cluster has it. */
export interface TopicDescription {
  readonly name: string;
  /** How many brokers the cluster has. */
  readonly brokers: number;
  /** Absent, like the next one, when the topic does not exist or may not be described. */
  readonly partitions?: number;
  /** The smallest number of replicas of a partition. */
  readonly replicas?: number;
  /** Absent when it may not be described. */
  readonly config?: Readonly<Record<string, string>>;
}

/** A broker, as the kit uses it. */
export interface Transport extends Publisher, Subscriber {
  /** Reads a topic of one partition as a member of no group: everybody who follows it gets every record. */
  follow?(options: FollowOptions): Subscription;
  /**
   * Deletes what a topic of one partition has before an offset. Less may be deleted, or nothing.
   *
   * @throws when the client may not, or no broker answers
   */
  trim?(topic: string, before: number): Promise<void>;
  /** Whether the topic is one of those that the transport was made for. Without this method nobody can check it. */
  hasTopic?(name: string): boolean;
  /** With how many partitions the topic is defined: the keys are distributed among these, however many there are. */
  partitionsOf?(name: string): number | undefined;
  /**
   * The topics that the transport was made for, and how they really are: once those that are missing were created, where
   * the transport does that.
   *
   * @throws when no broker answers
   */
  describeTopics?(): Promise<readonly { readonly topic: Topic; readonly real: TopicDescription }[]>;
}
