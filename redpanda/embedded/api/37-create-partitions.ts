/**
 * CreatePartitions (37), versions 0 to 3: adds partitions to a topic, durable when answered.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_CreatePartitions; KIP-195.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";

interface Growth {
  readonly name: string;
  /** The new total. */
  readonly count: number;
  /** The brokers of each new partition. null: the broker chooses. */
  readonly assignments: readonly (readonly number[])[] | null;
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
      const [name, count] = [reader.string(), reader.int32()];
      return { name, count, assignments: reader.nullableStructs(() => reader.array(() => reader.int32())) };
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

function grow(broker: BrokerState, growth: Growth, validateOnly: boolean): Promise<TopicResult> {
  const { name, count } = growth;
  const work = async () => {
    const topic = broker.topics.resolve({ name, id: null });
    checkAssignments(growth, count - topic.partitions.length, broker.nodeId);
    await broker.topics.grow(topic, count, validateOnly);
    return { name, code: ErrorCode.NONE, message: null };
  };
  return catchKafkaError<TopicResult>(work, ({ code, message }) => ({ name, code, message }));
}

/** Assignments name this broker for each new partition. @throws KafkaError */
function checkAssignments({ assignments }: Growth, added: number, nodeId: number): void {
  // Without new partitions the count is refused.
  if (assignments === null || added <= 0) return;
  const isHere = assignments.every((brokers) => brokers.length === 1 && brokers[0] === nodeId);
  if (isHere && assignments.length === added) return;
  throw new KafkaError(
    ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    `${added} partitions are added, each of which can only be on broker ${nodeId}`,
  );
}
