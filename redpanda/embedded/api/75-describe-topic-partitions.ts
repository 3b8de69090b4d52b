/**
 * DescribeTopicPartitions (75), version 0: the partitions of topics, sorted by name, in pages.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeTopicPartitions; KIP-966; Apache Kafka's
 * DescribeTopicPartitionsRequestHandler.
 *
 * Left out: authorized operations.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";
import { LEADER_EPOCH } from "../log/batch.ts";
import { checkTopicName } from "../topics/entry.ts";
import { NO_TOPIC_ID } from "../topics/ref.ts";

/** Where a page begins. */
interface Cursor {
  readonly topic: string;
  readonly partition: number;
}

interface DescribeTopicPartitionsRequest {
  /** Empty: all. */
  readonly topics: readonly string[];
  readonly limit: number;
  readonly cursor: Cursor | null;
}

interface TopicResult {
  readonly code: ErrorCode;
  readonly name: string;
  readonly id: string;
  readonly partitions: readonly number[];
}

interface DescribeTopicPartitionsResponse {
  readonly nodeId: number;
  readonly topics: readonly TopicResult[];
  readonly next: Cursor | null;
}

/** As max.request.partition.size.limit of Apache Kafka by default. */
const MAX_PARTITIONS = 2000;
/** The value for "not requested". */
const NO_OPERATIONS = -(2 ** 31);

export const describeTopicPartitions = defineApi<
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse
>({
  key: 75,
  name: "DescribeTopicPartitions",
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: 0,

  decode(reader) {
    const topics = reader.structs(() => reader.string());
    const limit = reader.int32();
    if (reader.int8() < 0) return { topics, limit, cursor: null };
    const cursor = { topic: reader.string(), partition: reader.int32() };
    reader.skipTags();
    return { topics, limit, cursor };
  },

  async handle({ topics, limit, cursor }, broker) {
    const isAll = topics.length === 0;
    if (cursor && (cursor.partition < 0 || !(isAll || topics.includes(cursor.topic)))) {
      throw new KafkaError(ErrorCode.INVALID_REQUEST, "the cursor is at no partition of the topics");
    }
    const known = isAll ? broker.topics.all().map(({ name }) => name) : topics;
    const names = [...new Set(known)].filter((name) => name >= (cursor?.topic ?? "")).sort();
    let left = Math.max(1, Math.min(limit, MAX_PARTITIONS));
    const results: TopicResult[] = [];
    for (const name of names) {
      if (left === 0) return { nodeId: broker.nodeId, topics: results, next: { topic: name, partition: 0 } };
      const result = await find(broker, name);
      const from = name === cursor?.topic ? cursor.partition : 0;
      const page = result.partitions.slice(from, from + left);
      results.push({ ...result, partitions: page });
      left -= page.length;
      const partition = from + page.length;
      if (partition < result.partitions.length) {
        return { nodeId: broker.nodeId, topics: results, next: { topic: name, partition } };
      }
    }
    return { nodeId: broker.nodeId, topics: results, next: null };
  },

  refuse: ({ topics }, code) => ({
    nodeId: -1,
    topics: topics.map((name) => ({ code, name, id: NO_TOPIC_ID, partitions: [] })),
    next: null,
  }),

  encode(writer, { nodeId, topics, next }) {
    writer.int32(0);
    writer.structs(topics, ({ code, name, id, partitions }) => {
      const isInternal = false;
      writer.int16(code).nullableString(name).uuid(id).boolean(isInternal);
      writer.structs(partitions, (index) => {
        writer.int16(ErrorCode.NONE).int32(index).int32(nodeId).int32(LEADER_EPOCH);
        const [replicas, inSync] = [[nodeId], [nodeId]];
        const [eligible, lastEligible, offline]: number[][] = [[], [], []];
        for (const nodes of [replicas, inSync, eligible, lastEligible, offline]) {
          writer.array(nodes ?? [], (node) => writer.int32(node));
        }
      });
      writer.int32(NO_OPERATIONS);
    });
    if (!next) writer.int8(-1);
    else writer.int8(1).string(next.topic).int32(next.partition).noTags();
  },
});

function find({ topics }: BrokerState, name: string): Promise<TopicResult> {
  const work = () => {
    checkTopicName(name);
    const { id, partitions } = topics.resolve({ name, id: null });
    return { code: ErrorCode.NONE, name, id, partitions: partitions.map((_, index) => index) };
  };
  return catchKafkaError<TopicResult>(work, ({ code }) => ({ code, name, id: NO_TOPIC_ID, partitions: [] }));
}
