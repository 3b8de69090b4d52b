/**
 * AddPartitionsToTxn (24), versions 0 to 3: partitions that the producer is about to write to in its transaction.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_AddPartitionsToTxn; KIP-98.
 *
 * Left out: versions 4 and 5, which only brokers send.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, translateCodes } from "../errors.ts";
import type { TransactionalProducer } from "../transactions.ts";
import { fencedCodes } from "./fenced-codes.ts";

interface AddPartitionsToTxnRequest extends TransactionalProducer {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[];
}

interface AddPartitionsToTxnResponse {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partition: number; readonly code: ErrorCode }[];
  }[];
}

export const addPartitionsToTxn = defineApi<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>({
  key: 24,
  name: "AddPartitionsToTxn",
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,

  decode: (reader) => ({
    transactionalId: reader.string(),
    producerId: reader.int64(),
    epoch: reader.int16(),
    topics: reader.structs(() => ({
      name: reader.string(),
      partitions: reader.array(() => reader.int32()),
    })),
  }),

  async handle(request, { topics, transactions }, { version }) {
    const exists = (topic: string, partition: number) =>
      topics.find({ name: topic, id: null })?.partitions[partition] !== undefined;
    const partitions = request.topics.flatMap(({ name, partitions: indexes }) =>
      indexes.map((partition) => ({ topic: name, partition })),
    );
    if (!partitions.every(({ topic, partition }) => exists(topic, partition))) {
      return answer(request, (topic, partition) =>
        exists(topic, partition) ? ErrorCode.OPERATION_NOT_ATTEMPTED : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      );
    }
    await translateCodes(
      () => transactions.add(request, { partitions, groups: [] }),
      fencedCodes(version, 2),
    );
    return answer(request, () => ErrorCode.NONE);
  },

  refuse: (request, code) => answer(request, () => code),

  encode(writer, { topics }) {
    writer.int32(0).structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, ({ partition, code }) => writer.int32(partition).int16(code));
    });
  },
});

function answer(
  { topics }: AddPartitionsToTxnRequest,
  codeOf: (topic: string, partition: number) => ErrorCode,
): AddPartitionsToTxnResponse {
  return {
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((partition) => ({ partition, code: codeOf(name, partition) })),
    })),
  };
}
