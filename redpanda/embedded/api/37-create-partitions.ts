/**
 * CreatePartitions (37), versions 0 to 3: adds partitions to a topic, durable when answered.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_CreatePartitions; KIP-195.
 *
 * Left out: assignments, which could only name this broker.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";

interface Growth {
  readonly name: string;
  /** The new total. */
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
    reader.int32(); // the timeout
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

function grow({ topics }: BrokerState, { name, count }: Growth, validateOnly: boolean): Promise<TopicResult> {
  const work = async () => {
    await topics.grow(topics.resolve({ name, id: null }), count, validateOnly);
    return { name, code: ErrorCode.NONE, message: null };
  };
  return catchKafkaError<TopicResult>(work, ({ code, message }) => ({ name, code, message }));
}
