import type { Topic } from "../contract/define.ts";
import type { Publisher, Subscriber, Transport } from "../transport/transport.ts";

/** A client of the broker, like that of one process. */
export interface ClientUnderTest extends Publisher, Subscriber, Pick<Transport, "follow" | "trim"> {
  /** Its subscriptions have to be stopped before. */
  close(): Promise<void>;
}

/** A broker, and the operations that its tests need. */
export interface BrokerUnderTest {
  /** A new client. It creates missing topics, at the latest when it needs them. */
  connect(topics: readonly Topic[]): ClientUnderTest;
  stop(): Promise<void>;
  /** A reader that is silent for longer loses its partitions. */
  readonly sessionTimeoutMs?: number;
  readonly administration?: BrokerAdministration;
  readonly outage?: BrokerOutage;
  /** Whether it compresses what it stores, as the topic's `compression.type` has it. */
  readonly compresses?: boolean;
  /** Stores a record batch as it is, as another client could. */
  readonly store?: (topic: Topic, partition: number, batch: Buffer) => Promise<void>;
  /** Stores a record in a transaction of its own. Absent where there are no transactions. */
  readonly storeInTransaction?: (
    topic: Topic,
    value: string,
    end: { readonly commit: boolean },
  ) => Promise<void>;
  /** Stores records that no reader can decode. Absent where the broker refuses all of them. */
  readonly storeUndecodable?: (topic: Topic, partition: number, count: number) => Promise<void>;
}

export interface BrokerAdministration {
  /** Adds partitions, up to this number. */
  addPartitions(topic: Topic, partitions: number): Promise<void>;
  /** Deletes the records of a partition below an offset. */
  deleteRecords(topic: Topic, partition: number, before: number): Promise<void>;
  deleteTopic(topic: Topic): Promise<void>;
}

export interface BrokerOutage {
  /** Resolves when the broker is unavailable. */
  begin(): Promise<void>;
  /** Resolves when the broker is available at its old address, without its data as an empty one. */
  end(options: { readonly keepData: boolean }): Promise<void>;
}

/** Of one test: enough to start a broker and to rebalance its groups several times. */
export const TEST_TIMEOUT_MS = 120_000;

/** @throws when a broker lacks an ability that its `Abilities` claim */
export function required<T>(ability: T | undefined): T {
  if (ability === undefined) throw new Error("the broker lacks an ability that it claims");
  return ability;
}
