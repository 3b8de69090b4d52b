/**
 * CreatePartitions (37), versions 0 to 3: more partitions for a topic, durable when answered.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_CreatePartitions; KIP-195.
 *
 * Left out: assignments, which could only name the one broker there is.
 */
import { defineApi } from "../api.ts";
import type { Broker } from "../broker.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../errors.ts";
import { messageOf } from "../logger.ts";

interface Growth {
  readonly name: string;
  /** How many there are to be, the present ones included. */
  readonly count: number;
}

interface TopicResult {
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string | null;
}

interface CreatePartitionsRequest {
  readonly topics: readonly Growth[];
  readonly validateOnly: boolean;
}

export const createPartitions = defineApi<CreatePartitionsRequest, { results: readonly TopicResult[] }>({
  key: 37,
  name: "CreatePartitions",
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 2,

  decode(reader) {
    const topics = reader.structs(() => {
      const topic = { name: reader.string(), count: reader.int32() };
      reader.nullableStructs(() => reader.array(() => reader.int32())); // the assignments
      return topic;
    });
    reader.int32(); // the time limit
    return { topics, validateOnly: reader.boolean() };
  },

  async handle({ topics, validateOnly }, broker) {
    return { results: await Promise.all(topics.map((topic) => grow(broker, topic, validateOnly))) };
  },

  refuse: ({ topics }, code, message) => ({ results: topics.map(({ name }) => ({ name, code, message })) }),

  encode(writer, { results }) {
    writer.int32(0).structs(results, ({ name, code, message }) => {
      writer.string(name).int16(code).nullableString(message);
    });
  },
});

async function grow(broker: Broker, { name, count }: Growth, validateOnly: boolean): Promise<TopicResult> {
  try {
    await broker.topics.grow(broker.topics.resolve({ name, id: null }), count, validateOnly);
    return { name, code: ErrorCode.NONE, message: null };
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    return { name, code: errorCodeOf(error), message: messageOf(error) };
  }
}
