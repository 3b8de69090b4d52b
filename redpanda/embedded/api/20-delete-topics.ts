/**
 * DeleteTopics (20), versions 1 to 6: topic, records and the offsets that groups committed for it, durably.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DeleteTopics; KIP-516 (topic ids, v6).
 */
import { defineApi } from "../api.ts";
import type { Broker } from "../broker.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../errors.ts";
import { messageOf } from "../logger.ts";
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

async function remove(broker: Broker, ref: TopicRef): Promise<TopicResult> {
  try {
    const topic = broker.topics.resolve(ref);
    await broker.topics.delete(topic, broker.groups.offsets.changesToForget(topic.name));
    return { name: topic.name, id: topic.id, code: ErrorCode.NONE, message: null };
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    return { ...ref, code: errorCodeOf(error), message: messageOf(error) };
  }
}
