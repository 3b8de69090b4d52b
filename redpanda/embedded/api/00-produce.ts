/**
 * Produce (0), versions 3 to 13: record batches of format v2, one a partition.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_Produce; KIP-98 (idempotence), KIP-516 (topic ids, v13).
 *
 * acks=1 and acks=-1 are the same: the response is sent when the batch is on disk. acks=0 has no response.
 * A transactional batch is appended only to a partition of the open transaction of its producer (KIP-890).
 * Left out: message formats v0 and v1 (versions 0 to 2), partitions that a batch adds to its transaction (v12, KIP-890),
 * per-record errors, LogAppendTime.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError, translateCodes } from "../errors.ts";
import type { PartitionRef } from "../groups/offsets.ts";
import type { RecordBatch } from "../log/batch.ts";
import { parseProduced, validateRecords } from "../log/validation.ts";
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
const ABORTABLE_FROM = 11;

/** What a producer handles in place of the codes of the coordinator. NOT_ENOUGH_REPLICAS is retried. */
const transactionCodes = new Map<ErrorCode, ErrorCode>([
  [ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH],
  [ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_ENOUGH_REPLICAS],
]);
const beforeAbortable = new Map<ErrorCode, ErrorCode>([
  ...transactionCodes,
  [ErrorCode.TRANSACTION_ABORTABLE, ErrorCode.INVALID_TXN_STATE],
]);

export const produce = defineApi<ProduceRequest, ProduceResponse>({
  key: 0,
  name: "Produce",
  minVersion: 3,
  maxVersion: 13,
  flexibleFrom: 9,
  // Without Produce v0 in the list librdkafka disables compression (KAFKA-18659). It does not use version 0.
  advertisedMinVersion: 0,

  decode(reader, version) {
    const transactionalId = reader.nullableString();
    const acks = reader.int16();
    reader.int32(); // the timeout for replication, which there is none of
    const topics = reader.structs(() => ({
      ...readTopic(reader, version >= TOPIC_IDS_FROM),
      partitions: reader.structs(() => ({ index: reader.int32(), records: reader.nullableBytes() })),
    }));
    return { transactionalId, acks, topics };
  },

  async handle(request, broker, { version }) {
    const { acks, transactionalId } = request;
    if (acks !== -1 && acks !== 0 && acks !== 1) throw new KafkaError(ErrorCode.INVALID_REQUIRED_ACKS);
    // Each batch is put in the queue of its log before the first await, which keeps the order of the requests.
    const appended = request.topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map((partition) =>
        append(broker, topic, partition, { transactionalId, version }),
      ),
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

function append(
  { topics, transactions, options }: BrokerState,
  topicRef: TopicRef,
  { index, records }: PartitionData,
  { transactionalId, version }: { readonly transactionalId: string | null; readonly version: number },
): Promise<PartitionResult> {
  const checkTransaction = ({ producerId, producerEpoch: epoch }: RecordBatch, partition: PartitionRef) => {
    if (transactionalId === null) throw new KafkaError(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    transactions.checkBatch({ transactionalId, producerId, epoch }, partition);
  };
  const work = async () => {
    const { config, name } = topics.resolve(topicRef);
    const log = topics.log(topicRef, index);
    const batch = parseProduced(records, config.maxMessageBytes, version);
    const validated = options.validateRecords ? validateRecords(batch, config) : undefined;
    const { baseOffset, durable } = await log.arrivals.add(validated, () => {
      // Immediately before the append: no marker can come between.
      if (batch.isTransactional) checkTransaction(batch, { topic: name, partition: index });
      return log.append(batch);
    });
    await durable;
    return { index, code: ErrorCode.NONE, message: null, baseOffset, logStartOffset: log.startOffset };
  };
  const translated = () =>
    translateCodes(work, version < ABORTABLE_FROM ? beforeAbortable : transactionCodes);
  return catchKafkaError(translated, ({ code, message }) => refused(index, code, message));
}

function refused(index: number, code: ErrorCode, message: string): PartitionResult {
  return { index, code, message, baseOffset: -1, logStartOffset: -1 };
}
