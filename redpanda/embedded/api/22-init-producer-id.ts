/**
 * InitProducerId (22), versions 0 to 5: an id for an idempotent producer.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_InitProducerId; KIP-98, KIP-360 (epochs, v3).
 *
 * A producer that sends its id and epoch (v3, after an error) gets the next epoch of the same id. Left out:
 * transactional ids.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, KafkaError } from "../errors.ts";

interface InitProducerIdRequest {
  readonly transactionalId: string | null;
  /** -1 and -1: a new producer. */
  readonly producerId: number;
  readonly epoch: number;
}

interface InitProducerIdResponse {
  readonly code: ErrorCode;
  readonly producerId: number;
  readonly epoch: number;
}

/** The largest epoch is not assigned, so that a later one exists for fencing. */
const LAST_EPOCH = 0x7fff - 1;

export const initProducerId = defineApi<InitProducerIdRequest, InitProducerIdResponse>({
  key: 22,
  name: "InitProducerId",
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 2,

  decode(reader, version) {
    const transactionalId = reader.nullableString();
    reader.int32(); // the transaction timeout
    const producerId = version >= 3 ? reader.int64() : -1;
    return { transactionalId, producerId, epoch: version >= 3 ? reader.int16() : -1 };
  },

  async handle({ transactionalId, producerId, epoch }, broker) {
    if (transactionalId !== null) throw new KafkaError(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    const continues = producerId >= 0 && epoch >= 0 && epoch < LAST_EPOCH;
    if (continues) return { code: ErrorCode.NONE, producerId, epoch: epoch + 1 };
    return { code: ErrorCode.NONE, producerId: await broker.producerIds.next(), epoch: 0 };
  },

  refuse: (_request, code) => ({ code, producerId: -1, epoch: -1 }),

  encode(writer, { code, producerId, epoch }) {
    writer.int32(0).int16(code).int64(producerId).int16(epoch);
  },
});
