/**
 * Metadata (3), versions 0 to 13: this broker, and the requested topics.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_Metadata; KIP-516 (topic ids, v10 and v12).
 *
 * A missing topic is created only if the broker was started with `autoCreateTopics` and the request allows it.
 * Left out: authorized operations, racks.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";
import { LEADER_EPOCH } from "../log/batch.ts";
import { checkTopicName } from "../topics/entry.ts";
import { NO_TOPIC_ID, type TopicRef } from "../topics/ref.ts";
import type { Topic } from "../topics.ts";

interface MetadataRequest {
  /** Null: all. */
  readonly topics: readonly TopicRef[] | null;
  readonly mayCreate: boolean;
}

interface TopicResult extends TopicRef {
  readonly code: ErrorCode;
  readonly partitions: number;
}

interface MetadataResponse {
  readonly broker: BrokerState | null;
  readonly code: ErrorCode;
  readonly topics: readonly TopicResult[];
}

/** The value for "not requested". */
const NO_OPERATIONS = -(2 ** 31);

export const metadata = defineApi<MetadataRequest, MetadataResponse>({
  key: 3,
  name: "Metadata",
  minVersion: 0,
  maxVersion: 13,
  flexibleFrom: 9,

  decode(reader, version) {
    const topics = reader.nullableStructs(() => {
      const id = version >= 10 ? reader.uuid() : NO_TOPIC_ID;
      const name = version >= 10 ? reader.nullableString() : reader.string();
      return { name, id: name === null ? id : null };
    });
    const mayCreate = version >= 4 ? reader.boolean() : true;
    return { topics: version === 0 && topics?.length === 0 ? null : topics, mayCreate };
  },

  async handle({ topics, mayCreate }, broker) {
    const results =
      topics === null
        ? broker.topics.all().map(found)
        : await Promise.all(topics.map((topic) => find(broker, topic, mayCreate)));
    return { broker, code: ErrorCode.NONE, topics: results };
  },

  refuse: ({ topics }, code) => ({
    broker: null,
    code,
    topics: (topics ?? []).map((topic) => ({ ...topic, code, partitions: 0 })),
  }),

  encode(writer, { broker, code, topics }, version) {
    if (version >= 3) writer.int32(0);
    writer.structs(broker ? [broker] : [], ({ nodeId, host, port }) => {
      writer.int32(nodeId).string(host).int32(port);
      if (version >= 1) writer.nullableString(null);
    });
    if (version >= 2) writer.nullableString(broker?.clusterId ?? null);
    const nodeId = broker?.nodeId ?? -1;
    if (version >= 1) writer.int32(nodeId);
    writer.structs(topics, (topic) => {
      writer.int16(topic.code);
      if (version >= 12) writer.nullableString(topic.name);
      else writer.string(topic.name ?? "");
      if (version >= 10) writer.uuid(topic.id ?? NO_TOPIC_ID);
      const isInternal = false;
      if (version >= 1) writer.boolean(isInternal);
      const indexes = Array.from({ length: topic.partitions }, (_, index) => index);
      writer.structs(indexes, (index) => {
        writer.int16(ErrorCode.NONE).int32(index).int32(nodeId);
        if (version >= 7) writer.int32(LEADER_EPOCH);
        const replicas = [nodeId];
        const inSync = [nodeId];
        const offline: number[] = [];
        for (const nodes of version >= 5 ? [replicas, inSync, offline] : [replicas, inSync]) {
          writer.array(nodes, (node) => writer.int32(node));
        }
      });
      if (version >= 8) writer.int32(NO_OPERATIONS);
    });
    if (version >= 8 && version <= 10) writer.int32(NO_OPERATIONS);
    if (version >= 13) writer.int16(code);
  },
});

function found({ name, id, partitions }: Topic): TopicResult {
  return { name, id, partitions: partitions.length, code: ErrorCode.NONE };
}

function find({ topics, options }: BrokerState, ref: TopicRef, mayCreate: boolean): Promise<TopicResult> {
  const work = async () => {
    if (ref.name !== null) checkTopicName(ref.name);
    const create = ref.name !== null && mayCreate && options.autoCreateTopics && !topics.find(ref);
    if (create) return found(await topics.create(ref.name, options.defaultPartitions, {}));
    return found(topics.resolve(ref));
  };
  return catchKafkaError(work, ({ code }) => ({ ...ref, code, partitions: 0 }));
}
