/**
 * DescribeCluster (60), versions 0 to 2: a cluster of this one broker.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeCluster; KIP-700, KIP-919 (endpoint types, v1).
 *
 * Left out: authorized operations, controller endpoints.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { ErrorCode, KafkaError } from "../errors.ts";

interface DescribeClusterResponse {
  readonly code: ErrorCode;
  readonly message: string | null;
  readonly broker: BrokerState | null;
}

/** The value for "not requested". */
const NO_OPERATIONS = -(2 ** 31);
const BROKERS = 1;

export const describeCluster = defineApi<{ endpointType: number }, DescribeClusterResponse>({
  key: 60,
  name: "DescribeCluster",
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 0,

  decode(reader, version) {
    reader.boolean(); // whether to include authorized operations
    return { endpointType: version >= 1 ? reader.int8() : BROKERS };
  },

  handle({ endpointType }, broker) {
    if (endpointType !== BROKERS) throw new KafkaError(ErrorCode.UNSUPPORTED_ENDPOINT_TYPE);
    return { code: ErrorCode.NONE, message: null, broker };
  },

  refuse: (_request, code, message) => ({ code, message, broker: null }),

  encode(writer, { code, message, broker }, version) {
    writer.int32(0).int16(code).nullableString(message);
    if (version >= 1) writer.int8(BROKERS);
    writer.string(broker?.clusterId ?? "").int32(broker?.nodeId ?? -1);
    writer.structs(broker ? [broker] : [], ({ nodeId, host, port }) => {
      const rack = null;
      writer.int32(nodeId).string(host).int32(port).nullableString(rack);
      const isFenced = false;
      if (version >= 2) writer.boolean(isFenced);
    });
    writer.int32(NO_OPERATIONS);
  },
});
