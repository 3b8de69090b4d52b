/**
 * The two interfaces between the kit and a broker. Whatever keeps the promises written here can carry the
 * store's messages; `kafka.ts` and `memory.ts` do, and `conformance.ts` holds them to it.
 */

/** A record on its way out. */
export interface OutgoingRecord {
  readonly topic: string;
  /** Records of one key go to one partition. `null`: any partition. */
  readonly key: string | null;
  readonly value: Uint8Array | string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** A record as it was read. */
export interface IncomingRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** One name for a partition, as a key of maps and in logs. */
export function topicPartition(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

export interface Publisher {
  /**
   * Resolves when the broker has acknowledged every record, and they are as durable there as it makes them.
   * Records of one partition are stored in the order of the array. A send whose answer is lost is made again, so
   * that some may be stored twice, one run of them after the other. When it rejects, any of them may have been
   * stored all the same: the caller sends the whole array again, and the readers' inboxes drop the copies.
   */
  publish(records: readonly OutgoingRecord[]): Promise<void>;
}

/** Some records of one partition, in the order of the log, beginning where the reader asked. */
export interface Batch {
  readonly topic: string;
  readonly partition: number;
  /** Never empty. */
  readonly records: readonly IncomingRecord[];
  /** One past the last offset of the log, as it was when the records were read. */
  readonly end: number;
}

/** What the reader did with a batch. */
export interface Progress {
  /**
   * The offset to deliver next. Anywhere: back to read again, one past the last to go on. One that the log does not
   * have means the beginning.
   */
  readonly next: number;
  /** Deliver nothing of this partition for so long, unless it is assigned anew. Other partitions go on. */
  readonly pauseMs?: number;
}

export interface SubscribeOptions {
  readonly group: string;
  /** The same for all members of a group. One that does not exist is read once it does. */
  readonly topics: readonly string[];
  /**
   * Where a partition begins, asked each time it is assigned, and before delivery goes back without having been
   * told to, because the log was made anew. `undefined`: at the beginning of the log. An offset that the log does
   * not have means the beginning, too. When it throws it is asked again, later.
   */
  startAt(topic: string, partition: number): number | undefined;
  /**
   * Takes a batch. Never called twice at once for one partition by one subscription; the next batch of the
   * partition comes only after this one resolved. A rejection delivers the batch again, later.
   */
  handle(batch: Batch): Promise<Progress>;
}

export interface Subscription {
  /** Whether records flow, or would if there were any. */
  healthy(): boolean;
  /**
   * Ends it: resolves when no handler runs any more, and soon after the last one, whatever the broker does. Nothing
   * is delivered afterwards. May be called again.
   */
  stop(): Promise<void>;
}

export interface Subscriber {
  subscribe(options: SubscribeOptions): Subscription;
}
