/**
 * ConsumerGroupHeartbeat (68), versions 0 and 1: refuses the members of groups of the new protocol (KIP-848), which this
 * broker does not have. Apache Kafka answers the same where the protocol is disabled
 * (`group.coordinator.rebalance.protocols`); clients take it for fatal, and say so. Without the API some of them wait.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_ConsumerGroupHeartbeat.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode, KafkaError } from "../errors.ts";

interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

export const consumerGroupHeartbeat = defineApi<object, Refusal>({
  key: 68,
  name: "ConsumerGroupHeartbeat",
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 0,

  decode: () => ({}),

  handle() {
    throw new KafkaError(
      ErrorCode.UNSUPPORTED_VERSION,
      "this broker does not support the group protocol CONSUMER; set group.protocol=classic",
    );
  },

  refuse: (_request, code, message) => ({ code, message }),

  encode(writer, { code, message }) {
    const [noMemberId, noEpoch, noInterval] = [null, 0, 0];
    writer.int32(0).int16(code).nullableString(message);
    writer.nullableString(noMemberId).int32(noEpoch).int32(noInterval);
    // A null structure, the assignment.
    writer.int8(-1);
  },
});
