/**
 * InitProducerId (22), versions 0 to 5: an id and an epoch for an idempotent or transactional producer.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_InitProducerId; KIP-98, KIP-360 (epochs, v3).
 *
 * A producer that sends its id and epoch (v3, after an error) gets the next epoch of the same id.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, KafkaError, translateCodes } from "../errors.ts";
import { LAST_EPOCH } from "../transactions/transaction.ts";
import { fencedCodes } from "./fenced-codes.ts";

interface InitProducerIdRequest {
  readonly transactionalId: string | null;
  readonly timeoutMs: number;
  /** -1 and -1: a new producer. */
  readonly producerId: number;
  readonly epoch: number;
}

interface InitProducerIdResponse {
  readonly code: ErrorCode;
  readonly producerId: number;
  readonly epoch: number;
}

const NONE = -1;

export const initProducerId = defineApi<InitProducerIdRequest, InitProducerIdResponse>({
  key: 22,
  name: "InitProducerId",
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 2,

  decode(reader, version) {
    const transactionalId = reader.nullableString();
    const timeoutMs = reader.int32();
    const producerId = version >= 3 ? reader.int64() : NONE;
    return { transactionalId, timeoutMs, producerId, epoch: version >= 3 ? reader.int16() : NONE };
  },

  async handle({ transactionalId, timeoutMs, producerId, epoch }, broker, { version }) {
    if (transactionalId !== null) {
      if ((producerId === NONE) !== (epoch === NONE)) throw new KafkaError(ErrorCode.INVALID_REQUEST);
      const expected = producerId === NONE ? undefined : { producerId, epoch };
      const initialize = () => broker.transactions.initialize(transactionalId, timeoutMs, expected);
      return { code: ErrorCode.NONE, ...(await translateCodes(initialize, fencedCodes(version, 4))) };
    }
    const continues = producerId >= 0 && epoch >= 0 && epoch < LAST_EPOCH;
    if (continues) return { code: ErrorCode.NONE, producerId, epoch: epoch + 1 };
    return { code: ErrorCode.NONE, producerId: await broker.producerIds.next(), epoch: 0 };
  },

  refuse: (_request, code) => ({ code, producerId: -1, epoch: -1 }),

  encode(writer, { code, producerId, epoch }) {
    writer.int32(0).int16(code).int64(producerId).int16(epoch);
  },
});
