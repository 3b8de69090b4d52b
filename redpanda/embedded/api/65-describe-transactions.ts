/**
 * DescribeTransactions (65), version 0: the states of transactional ids.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeTransactions; KIP-664.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import type { Transaction } from "../transactions/transaction.ts";

interface TransactionResult {
  readonly transactionalId: string;
  readonly code: ErrorCode;
  readonly transaction: Transaction | undefined;
}

export const describeTransactions = defineApi<
  { readonly transactionalIds: readonly string[] },
  { readonly transactions: readonly TransactionResult[] }
>({
  key: 65,
  name: "DescribeTransactions",
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: 0,

  decode: (reader) => ({ transactionalIds: reader.array(() => reader.string()) }),

  handle: ({ transactionalIds }, broker) => ({
    transactions: transactionalIds.map((transactionalId) => {
      const transaction = broker.transactions.find(transactionalId);
      const missing =
        transactionalId === "" ? ErrorCode.INVALID_REQUEST : ErrorCode.TRANSACTIONAL_ID_NOT_FOUND;
      return { transactionalId, code: transaction ? ErrorCode.NONE : missing, transaction };
    }),
  }),

  refuse: ({ transactionalIds }, code) => ({
    transactions: transactionalIds.map((transactionalId) => ({
      transactionalId,
      code,
      transaction: undefined,
    })),
  }),

  encode(writer, { transactions }) {
    writer.int32(0).structs(transactions, ({ transactionalId, code, transaction }) => {
      writer
        .int16(code)
        .string(transactionalId)
        .string(transaction?.state ?? "");
      writer.int32(transaction?.timeoutMs ?? 0).int64(transaction?.startedAt ?? 0);
      writer.int64(transaction?.producerId ?? 0).int16(transaction?.epoch ?? 0);
      const topics = Map.groupBy(transaction?.partitions ?? [], ({ topic }) => topic);
      writer.structs([...topics], ([topic, partitions]) => {
        writer.string(topic).array(partitions, ({ partition }) => void writer.int32(partition));
      });
    });
  },
});
