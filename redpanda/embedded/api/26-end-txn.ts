/**
 * EndTxn (26), versions 0 to 4: commits or aborts the transaction of a producer.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_EndTxn; KIP-98.
 *
 * Left out: version 5, with an epoch for each transaction (KIP-890, the second part).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, translateCodes } from "../errors.ts";
import type { TransactionalProducer } from "../transactions.ts";
import { fencedCodes } from "./fenced-codes.ts";

interface EndTxnRequest extends TransactionalProducer {
  readonly committed: boolean;
}

export const endTxn = defineApi<EndTxnRequest, { readonly code: ErrorCode }>({
  key: 26,
  name: "EndTxn",
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,

  decode: (reader) => ({
    transactionalId: reader.string(),
    producerId: reader.int64(),
    epoch: reader.int16(),
    committed: reader.boolean(),
  }),

  async handle(request, { transactions }, { version }) {
    const outcome = request.committed ? "commit" : "abort";
    await translateCodes(() => transactions.end(request, outcome), fencedCodes(version, 2));
    return { code: ErrorCode.NONE };
  },

  refuse: (_request, code) => ({ code }),

  encode: (writer, { code }) => void writer.int32(0).int16(code),
});
