/**
 * TxnOffsetCommit (28), versions 0 to 4: offsets that are committed with the transaction of a producer.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_TxnOffsetCommit; KIP-98, KIP-447 (group members, v3).
 *
 * Left out: version 5, which adds the group to the transaction (KIP-890, the second part).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, translateCodes } from "../errors.ts";
import type { Committed, PartitionRef } from "../groups/offsets.ts";
import type { TransactionalProducer } from "../transactions.ts";
import { offsetCode } from "./offset-code.ts";

interface TxnOffsetCommitRequest extends TransactionalProducer {
  readonly groupId: string;
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly (Committed & { readonly partition: number })[];
  }[];
}

interface TxnOffsetCommitResponse {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partition: number; readonly code: ErrorCode }[];
  }[];
}

const ABORTABLE_FROM = 4;

export const txnOffsetCommit = defineApi<TxnOffsetCommitRequest, TxnOffsetCommitResponse>({
  key: 28,
  name: "TxnOffsetCommit",
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,

  decode(reader, version) {
    const transactionalId = reader.string();
    const groupId = reader.string();
    const producer = { transactionalId, producerId: reader.int64(), epoch: reader.int16() };
    const generation = version >= 3 ? reader.int32() : -1;
    const memberId = version >= 3 ? reader.string() : "";
    const instanceId = version >= 3 ? reader.nullableString() : null;
    const topics = reader.structs(() => ({
      name: reader.string(),
      partitions: reader.structs(() => ({
        partition: reader.int32(),
        offset: reader.int64(),
        leaderEpoch: version >= 2 ? reader.int32() : -1,
        metadata: reader.nullableString() ?? "",
      })),
    }));
    return { ...producer, groupId, generation, memberId, instanceId, topics };
  },

  async handle(request, broker, { version }) {
    const accepted: (PartitionRef & Committed)[] = [];
    const results = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((commit) => {
        const code = offsetCode(broker.topics, name, commit);
        if (code === ErrorCode.NONE) accepted.push({ topic: name, ...commit });
        return { partition: commit.partition, code };
      }),
    }));
    broker.groups.checkTransactionalCommit(request.groupId, request, request.generation);
    await translateCodes(
      () => broker.transactions.addOffsets(request, request.groupId, accepted),
      new Map<ErrorCode, ErrorCode>([
        [ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH],
        [ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.COORDINATOR_NOT_AVAILABLE],
        ...(version < ABORTABLE_FROM
          ? [[ErrorCode.TRANSACTION_ABORTABLE, ErrorCode.INVALID_TXN_STATE] as const]
          : []),
      ]),
    );
    return { topics: results };
  },

  refuse: ({ topics }, code) => ({
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partition }) => ({ partition, code })),
    })),
  }),

  encode(writer, { topics }) {
    writer.int32(0).structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, ({ partition, code }) => writer.int32(partition).int16(code));
    });
  },
});
