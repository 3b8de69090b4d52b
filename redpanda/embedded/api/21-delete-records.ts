/**
 * DeleteRecords (21), versions 0 to 2: raises the log start offset, durably. Retention removes the files later.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DeleteRecords; KIP-107.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";

interface DeleteRecordsRequest {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly index: number; readonly offset: number }[];
  }[];
}

interface PartitionResult {
  readonly index: number;
  readonly lowWatermark: number;
  readonly code: ErrorCode;
}

interface DeleteRecordsResponse {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly PartitionResult[] }[];
}

/** The request value for "up to the high watermark". */
const ALL = -1;

export const deleteRecords = defineApi<DeleteRecordsRequest, DeleteRecordsResponse>({
  key: 21,
  name: "DeleteRecords",
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,

  decode: (reader) => ({
    topics: reader.structs(() => ({
      name: reader.string(),
      partitions: reader.structs(() => ({ index: reader.int32(), offset: reader.int64() })),
    })),
  }),

  async handle({ topics }, broker) {
    const results = topics.map(async ({ name, partitions }) => ({
      name,
      partitions: await Promise.all(
        partitions.map(({ index, offset }) => remove(broker, name, index, offset)),
      ),
    }));
    return { topics: await Promise.all(results) };
  },

  refuse: ({ topics }, code) => ({
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ index }) => ({ index, lowWatermark: -1, code })),
    })),
  }),

  encode(writer, { topics }) {
    writer.int32(0).structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, ({ index, lowWatermark, code }) => {
        writer.int32(index).int64(lowWatermark).int16(code);
      });
    });
  },
});

function remove(
  { topics }: BrokerState,
  name: string,
  index: number,
  offset: number,
): Promise<PartitionResult> {
  const work = async () => {
    const topic = topics.resolve({ name, id: null });
    const log = topics.log(topic, index);
    // A compacted topic keeps the last value of each key, which may lie below the new start.
    if (!topic.config.delete) throw new KafkaError(ErrorCode.POLICY_VIOLATION);
    const end = offset === ALL ? log.highWatermark : offset;
    if (end < 0 || end > log.highWatermark) throw new KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE);
    await topics.deleteRecords(topic, index, end);
    return { index, lowWatermark: log.startOffset, code: ErrorCode.NONE };
  };
  return catchKafkaError<PartitionResult>(work, ({ code }) => ({ index, lowWatermark: -1, code }));
}
