/** A topic of a Kafka-protocol broker, as it is provisioned. */
export interface Topic {
  readonly name: string;
  /** What its records are keyed by. Records of one key keep their order; a topic promises no more than that. */
  readonly key: string;
  readonly partitions: number;
  /** Kafka topic configuration, as `kafka-configs` spells it. */
  readonly config: Readonly<Record<string, string>>;
}
