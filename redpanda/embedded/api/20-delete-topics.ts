/**
 * DeleteTopics (20), versions 1 to 6: deletes topics, their records and their committed offsets, durably.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DeleteTopics; KIP-516 (topic ids, v6).
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";
import { NO_TOPIC_ID, type TopicRef } from "../topics/ref.ts";

interface DeleteTopicsRequest {
  readonly topics: readonly TopicRef[];
}

interface TopicResult extends TopicRef {
  readonly code: ErrorCode;
  readonly message: string | null;
}

const TOPIC_IDS_FROM = 6;

export const deleteTopics = defineApi<DeleteTopicsRequest, { topics: readonly TopicResult[] }>({
  key: 20,
  name: "DeleteTopics",
  minVersion: 1,
  maxVersion: 6,
  flexibleFrom: 4,

  decode(reader, version) {
    if (version < TOPIC_IDS_FROM) {
      return { topics: reader.array(() => ({ name: reader.string(), id: null })) };
    }
    return { topics: reader.structs(() => ({ name: reader.nullableString(), id: reader.uuid() })) };
  },

  async handle({ topics }, broker) {
    return { topics: await Promise.all(topics.map((topic) => remove(broker, topic))) };
  },

  refuse: ({ topics }, code, message) => ({ topics: topics.map((topic) => ({ ...topic, code, message })) }),

  encode(writer, { topics }, version) {
    writer.int32(0).structs(topics, ({ name, id, code, message }) => {
      if (version >= TOPIC_IDS_FROM) writer.nullableString(name).uuid(id ?? NO_TOPIC_ID);
      else writer.string(name ?? "");
      writer.int16(code);
      if (version >= 5) writer.nullableString(message);
    });
  },
});

function remove({ topics, groups }: BrokerState, ref: TopicRef): Promise<TopicResult> {
  const work = async () => {
    const topic = topics.resolve(ref);
    await topics.delete(topic, () => groups.offsets.deletions((name) => name === topic.name));
    return { name: topic.name, id: topic.id, code: ErrorCode.NONE, message: null };
  };
  return catchKafkaError<TopicResult>(work, ({ code, message }) => ({ ...ref, code, message }));
}
