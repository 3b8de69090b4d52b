/**
 * ListTransactions (66), versions 0 and 1: the transactional ids, with filters.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_ListTransactions; KIP-664, KIP-994 (durations, v1).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import { isState, type Transaction } from "../transactions/transaction.ts";

interface ListTransactionsRequest {
  /** Empty: all, like the next one. */
  readonly states: readonly string[];
  readonly producerIds: readonly number[];
  /** Only transactions that began longer ago, in milliseconds; -1: all. */
  readonly durationMs: number;
}

interface ListTransactionsResponse {
  readonly code: ErrorCode;
  readonly unknownStates: readonly string[];
  readonly transactions: readonly (readonly [transactionalId: string, transaction: Transaction])[];
}

export const listTransactions = defineApi<ListTransactionsRequest, ListTransactionsResponse>({
  key: 66,
  name: "ListTransactions",
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 0,

  decode: (reader, version) => ({
    states: reader.array(() => reader.string()),
    producerIds: reader.array(() => reader.int64()),
    durationMs: version >= 1 ? reader.int64() : -1,
  }),

  handle({ states, producerIds, durationMs }, broker) {
    const now = Date.now();
    const transactions = [...broker.transactions.all()].filter(
      ([, { state, producerId, startedAt }]) =>
        (states.length === 0 || states.includes(state)) &&
        (producerIds.length === 0 || producerIds.includes(producerId)) &&
        (durationMs < 0 || now - startedAt > durationMs),
    );
    const unknownStates = states.filter((state) => !isState(state));
    return { code: ErrorCode.NONE, unknownStates, transactions };
  },

  refuse: (_request, code) => ({ code, unknownStates: [], transactions: [] }),

  encode(writer, { code, unknownStates, transactions }) {
    writer.int32(0).int16(code);
    writer.array(unknownStates, (state) => void writer.string(state));
    writer.structs(transactions, ([transactionalId, { producerId, state }]) => {
      writer.string(transactionalId).int64(producerId).string(state);
    });
  },
});
