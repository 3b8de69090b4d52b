import type { ConsumerConfig } from "kafkajs";
import type { Topic } from "../../contract/topic.ts";
import type { Logger, Runtime } from "../../runtime.ts";
import type { KafkaSettings } from "./client.ts";

/** The broker forgets a member that is silent for so long. Six seconds is the least that Apache Kafka allows. */
export const SESSION_TIMEOUT_MS = 6_000;
export const HEARTBEAT_MS = 1_500;
/** A waiting fetch is answered when data arrives; only pauses and seeks have to wait for it to end. */
export const FETCH_WAIT_MS = 100;
/** After so long without a fetch the consumer will not recover by itself, whatever it says. Longer than a rebalance. */
export const STALLED_MS = 20_000;
/** How often the broker is told how far a group is. Only people look at it. */
export const COMMIT_EVERY_MS = 1_000;
/** How soon partitions that were added to a topic are seen. */
const METADATA_MAX_AGE_MS = 10_000;
/** At most this much of each partition is in memory at a time, and this much of all, for each broker. */
const PARTITION_BYTES = 512 * 1024;
const FETCH_BYTES = 8 * 1024 * 1024;
export const RETRY_AFTER_REJECTION_MS = 1_000;

export interface KafkaContext {
  readonly settings: KafkaSettings;
  /** Made when they are missing. */
  readonly topics: readonly Topic[];
  readonly runtime: Runtime;
  readonly log: Logger;
}

export const consumerConfig: Omit<ConsumerConfig, "groupId"> = {
  sessionTimeout: SESSION_TIMEOUT_MS,
  rebalanceTimeout: SESSION_TIMEOUT_MS,
  heartbeatInterval: HEARTBEAT_MS,
  metadataMaxAge: METADATA_MAX_AGE_MS,
  maxWaitTimeInMs: FETCH_WAIT_MS,
  minBytes: 1,
  maxBytesPerPartition: PARTITION_BYTES,
  maxBytes: FETCH_BYTES,
  allowAutoTopicCreation: false,
  retry: { restartOnFailure: async () => false },
};
