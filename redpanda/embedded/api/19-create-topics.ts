/**
 * CreateTopics (19), versions 2 to 7: each topic is durable when answered.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_CreateTopics; KIP-464 (defaults, v4), KIP-525 (v5).
 *
 * A replication factor other than 1 or -1 (the default) is refused. Manual assignments can only name this broker; they
 * set the number of partitions.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";
import { type ConfigEntry, describeTopicConfig } from "../topics/config.ts";
import { NO_TOPIC_ID } from "../topics/ref.ts";

interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly assignments: readonly { readonly index: number; readonly brokers: readonly number[] }[];
  readonly configs: readonly { readonly name: string; readonly value: string | null }[];
}

interface CreateTopicsRequest {
  readonly topics: readonly NewTopic[];
  readonly validateOnly: boolean;
}

interface TopicResult {
  readonly name: string;
  readonly id: string;
  readonly code: ErrorCode;
  readonly message: string | null;
  readonly partitions: number;
  readonly configs: readonly ConfigEntry[];
}

interface CreateTopicsResponse {
  readonly topics: readonly TopicResult[];
}

export const createTopics = defineApi<CreateTopicsRequest, CreateTopicsResponse>({
  key: 19,
  name: "CreateTopics",
  minVersion: 2,
  maxVersion: 7,
  flexibleFrom: 5,

  decode(reader) {
    const topics = reader.structs(() => ({
      name: reader.string(),
      partitions: reader.int32(),
      replicationFactor: reader.int16(),
      assignments: reader.structs(() => ({
        index: reader.int32(),
        brokers: reader.array(() => reader.int32()),
      })),
      configs: reader.structs(() => ({ name: reader.string(), value: reader.nullableString() })),
    }));
    reader.int32(); // the timeout
    return { topics, validateOnly: reader.boolean() };
  },

  async handle({ topics, validateOnly }, broker) {
    const twice = (name: string) => topics.filter((topic) => topic.name === name).length > 1;
    const results = topics.map((topic) =>
      twice(topic.name)
        ? refused(topic.name, ErrorCode.INVALID_REQUEST, "the topic is in the request twice")
        : create(broker, topic, validateOnly),
    );
    return { topics: await Promise.all(results) };
  },

  refuse: ({ topics }, code, message) => ({ topics: topics.map(({ name }) => refused(name, code, message)) }),

  encode(writer, { topics }, version) {
    writer.int32(0).structs(topics, ({ name, id, code, message, partitions, configs }) => {
      writer.string(name);
      if (version >= 7) writer.uuid(id);
      writer.int16(code).nullableString(message);
      if (version < 5) return;
      const replicationFactor = code === ErrorCode.NONE ? 1 : -1;
      writer.int32(partitions).int16(replicationFactor);
      writer.structs(configs, (config) => {
        const sensitive = false;
        writer
          .string(config.name)
          .nullableString(config.value)
          .boolean(config.isReadOnly)
          .int8(config.source)
          .boolean(sensitive);
      });
    });
  },
});

function create(broker: BrokerState, topic: NewTopic, validateOnly: boolean): Promise<TopicResult> {
  const { name } = topic;
  const work = async () => {
    const set = topic.configs.flatMap(({ name: config, value }) => (value === null ? [] : [[config, value]]));
    const overrides: Record<string, string> = Object.fromEntries(set);
    const partitions = partitionsOf(topic, broker);
    broker.topics.checkNew(name, partitions, overrides);
    const id = validateOnly ? NO_TOPIC_ID : (await broker.topics.create(name, partitions, overrides)).id;
    return {
      name,
      id,
      code: ErrorCode.NONE,
      message: null,
      partitions,
      configs: describeTopicConfig(overrides),
    };
  };
  return catchKafkaError<TopicResult>(work, ({ code, message }) => refused(name, code, message));
}

function partitionsOf({ partitions, replicationFactor, assignments }: NewTopic, broker: BrokerState): number {
  if (assignments.length === 0) {
    if (replicationFactor !== 1 && replicationFactor !== -1) {
      throw new KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, "there is one broker, so one replica");
    }
    return partitions === -1 ? broker.options.defaultPartitions : partitions;
  }
  const isHere = assignments.every(({ brokers }) => brokers.length === 1 && brokers[0] === broker.nodeId);
  const indexes = assignments.map(({ index }) => index).sort((a, b) => a - b);
  if (!isHere || indexes.some((index, position) => index !== position)) {
    throw new KafkaError(
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      `each partition can only be on broker ${broker.nodeId}`,
    );
  }
  return assignments.length;
}

function refused(name: string, code: ErrorCode, message: string): TopicResult {
  return { name, id: NO_TOPIC_ID, code, message, partitions: -1, configs: [] };
}
