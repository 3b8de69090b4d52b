import type { Topic } from "../contract/define.ts";
import type { Publisher, Subscriber } from "../transport/transport.ts";

/** A client of the broker, as one process has one. */
export interface ClientUnderTest extends Publisher, Subscriber {
  /** Its subscriptions are stopped before. */
  close(): Promise<void>;
}

/** A broker, and what can be done to it. */
export interface BrokerUnderTest {
  /** A client of its own. Topics that are missing are made by it, at the latest when it needs them. */
  connect(topics: readonly Topic[]): ClientUnderTest;
  stop(): Promise<void>;
  /** A reader that is silent for longer loses its partitions. */
  readonly sessionTimeoutMs?: number;
  readonly administration?: BrokerAdministration;
  readonly outage?: BrokerOutage;
}

export interface BrokerAdministration {
  /** Makes a topic's partitions as many as this. */
  addPartitions(topic: Topic, partitions: number): Promise<void>;
  /** Removes what a partition holds below an offset. */
  deleteRecords(topic: Topic, partition: number, before: number): Promise<void>;
  deleteTopic(topic: Topic): Promise<void>;
}

export interface BrokerOutage {
  /** Resolves when it is gone. */
  begin(): Promise<void>;
  /** Resolves when it is back at its old address; without its data it is as empty as a new one. */
  end(options: { readonly keepData: boolean }): Promise<void>;
}

/** Starting a broker, or waiting as long as a reader may take. */
export const PATIENT_MS = 120_000;

/** @throws when a broker cannot do what its tests were told that it can */
export function needed<T>(ability: T | undefined): T {
  if (ability === undefined) throw new Error("this broker cannot do that, and its abilities say that it can");
  return ability;
}
