/** A topic of a Kafka-protocol broker, as it is provisioned. */
export interface Topic {
  readonly name: string;
  /** What its records are keyed by. Records of one key keep their order; a topic promises no more than that. */
  readonly key: string;
  readonly partitions: number;
  /** Kafka topic configuration, as `kafka-configs` spells it. */
  readonly config: Readonly<Record<string, string>>;
}

const DEAD_LETTER_RETENTION_MS = 30 * 24 * 60 * 60 * 1000;

/**
 * The topic to which a service copies its dead letters, for people who look at topics. Nobody consumes it: the dead
 * letters themselves are in the service's database.
 */
export function deadLetterTopic(service: string): Topic {
  return {
    name: `${service}.dead-letters`,
    key: "as it came",
    partitions: 1,
    config: { "cleanup.policy": "delete", "retention.ms": String(DEAD_LETTER_RETENTION_MS) },
  };
}
