/**
 * Produce (0), versions 3 to 13: record batches of format v2, one a partition.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_Produce; KIP-98 (idempotence), KIP-516 (topic ids, v13).
 *
 * acks=1 and acks=-1 are the same here: the answer comes when the batch is on disk. acks=0 gets no answer.
 * Left out: message formats v0 and v1 (versions 0 to 2), transactions, per-record errors, LogAppendTime.
 */
import { defineApi } from "../api.ts";
import type { Broker } from "../broker.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../errors.ts";
import { parseProduced, type RecordBatch } from "../log/batch.ts";
import { recordsOf } from "../log/records.ts";
import { messageOf } from "../logger.ts";
import { readTopic, type TopicRef, writeTopic } from "../topics/ref.ts";

interface PartitionData {
  readonly index: number;
  readonly records: Buffer | null;
}

interface ProduceRequest {
  readonly transactionalId: string | null;
  readonly acks: number;
  readonly topics: readonly (TopicRef & { readonly partitions: readonly PartitionData[] })[];
}

interface PartitionResult {
  readonly index: number;
  readonly code: ErrorCode;
  readonly message: string | null;
  readonly baseOffset: number;
  readonly logStartOffset: number;
}

interface ProduceResponse {
  readonly topics: readonly (TopicRef & { readonly partitions: readonly PartitionResult[] })[];
}

const TOPIC_IDS_FROM = 13;

export const produce = defineApi<ProduceRequest, ProduceResponse>({
  key: 0,
  name: "Produce",
  minVersion: 3,
  maxVersion: 13,
  flexibleFrom: 9,
  // librdkafka takes a broker without Produce v0 for one without compression (KAFKA-18659); it then uses a later one.
  advertisedMinVersion: 0,

  decode(reader, version) {
    const transactionalId = reader.nullableString();
    const acks = reader.int16();
    reader.int32(); // the time for replicas to follow, of which there are none
    const topics = reader.structs(() => ({
      ...readTopic(reader, version >= TOPIC_IDS_FROM),
      partitions: reader.structs(() => ({ index: reader.int32(), records: reader.nullableBytes() })),
    }));
    return { transactionalId, acks, topics };
  },

  async handle(request, broker, { version }) {
    const { acks, transactionalId } = request;
    if (acks !== -1 && acks !== 0 && acks !== 1) throw new KafkaError(ErrorCode.INVALID_REQUIRED_ACKS);
    if (transactionalId !== null) {
      throw new KafkaError(ErrorCode.INVALID_TXN_STATE, "transactions are not supported");
    }
    // All are appended before the first wait, so that requests of one connection keep their order.
    const appended = request.topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map((partition) => append(broker, topic, partition, version)),
    }));
    const topics = await Promise.all(
      appended.map(async (topic) => ({ ...topic, partitions: await Promise.all(topic.partitions) })),
    );
    return acks === 0 ? undefined : { topics };
  },

  refuse({ acks, topics }, code, message) {
    if (acks === 0) return undefined;
    const refusedTopics = topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map(({ index }) => refused(index, code, message)),
    }));
    return { topics: refusedTopics };
  },

  encode(writer, response, version) {
    writer.structs(response.topics, (topic) => {
      writeTopic(writer, topic, version >= TOPIC_IDS_FROM);
      writer.structs(topic.partitions, ({ index, code, message, baseOffset, logStartOffset }) => {
        const logAppendTime = -1;
        writer.int32(index).int16(code).int64(baseOffset).int64(logAppendTime);
        if (version >= 5) writer.int64(logStartOffset);
        if (version >= 8) writer.array([], () => {}).nullableString(message);
      });
    });
    writer.int32(0);
  },
});

async function append(
  broker: Broker,
  topicRef: TopicRef,
  { index, records }: PartitionData,
  version: number,
): Promise<PartitionResult> {
  try {
    const { config, partitions } = broker.topics.resolve(topicRef);
    const log = partitions[index];
    if (!log) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    const batch = parseProduced(records, config.maxMessageBytes, version);
    if (config.compact) checkKeys(batch);
    const { baseOffset, durable } = log.append(batch);
    await durable;
    return { index, code: ErrorCode.NONE, message: null, baseOffset, logStartOffset: log.startOffset };
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    return refused(index, errorCodeOf(error), messageOf(error));
  }
}

/** Without a key a record of a compacted topic has no last value. Batches that cannot be read are let through. */
function checkKeys(batch: RecordBatch): void {
  if (recordsOf(batch)?.some(({ key }) => key === null)) {
    throw new KafkaError(ErrorCode.INVALID_RECORD, "a record of a compacted topic needs a key");
  }
}

function refused(index: number, code: ErrorCode, message: string): PartitionResult {
  return { index, code, message, baseOffset: -1, logStartOffset: -1 };
}
