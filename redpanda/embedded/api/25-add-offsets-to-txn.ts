/**
 * AddOffsetsToTxn (25), versions 0 to 4: a group whose offsets the producer is about to commit in its transaction.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_AddOffsetsToTxn; KIP-98.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, translateCodes } from "../errors.ts";
import type { TransactionalProducer } from "../transactions.ts";
import { fencedCodes } from "./fenced-codes.ts";

interface AddOffsetsToTxnRequest extends TransactionalProducer {
  readonly groupId: string;
}

export const addOffsetsToTxn = defineApi<AddOffsetsToTxnRequest, { readonly code: ErrorCode }>({
  key: 25,
  name: "AddOffsetsToTxn",
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,

  decode: (reader) => ({
    transactionalId: reader.string(),
    producerId: reader.int64(),
    epoch: reader.int16(),
    groupId: reader.string(),
  }),

  async handle(request, { transactions }, { version }) {
    const added = { partitions: [], groups: [request.groupId] };
    await translateCodes(() => transactions.add(request, added), fencedCodes(version, 2));
    return { code: ErrorCode.NONE };
  },

  refuse: (_request, code) => ({ code }),

  encode: (writer, { code }) => void writer.int32(0).int16(code),
});
