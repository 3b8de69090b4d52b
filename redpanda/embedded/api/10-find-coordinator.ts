/**
 * FindCoordinator (10), versions 0 to 6: this broker coordinates every group and every transaction.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_FindCoordinator; KIP-699 (several keys, v4).
 *
 * Left out: share coordinators, refused with INVALID_REQUEST.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";

interface FindCoordinatorRequest {
  readonly keys: readonly string[];
  readonly keyType: number;
}

interface Coordinator {
  readonly key: string;
  readonly code: ErrorCode;
  readonly message: string | null;
}

interface FindCoordinatorResponse {
  readonly broker: { readonly nodeId: number; readonly host: string; readonly port: number };
  readonly coordinators: readonly Coordinator[];
}

const GROUP_KEY = 0;
const TRANSACTION_KEY = 1;
const BATCHED_FROM = 4;
const NO_BROKER = { nodeId: -1, host: "", port: -1 };

export const findCoordinator = defineApi<FindCoordinatorRequest, FindCoordinatorResponse>({
  key: 10,
  name: "FindCoordinator",
  minVersion: 0,
  maxVersion: 6,
  flexibleFrom: 3,

  decode(reader, version) {
    const single = version < BATCHED_FROM ? [reader.string()] : [];
    const keyType = version >= 1 ? reader.int8() : GROUP_KEY;
    return { keys: version < BATCHED_FROM ? single : reader.array(() => reader.string()), keyType };
  },

  handle({ keys, keyType }, broker) {
    if (keyType !== GROUP_KEY && keyType !== TRANSACTION_KEY) {
      return refused(keys, ErrorCode.INVALID_REQUEST, "share groups are not supported");
    }
    return { broker, coordinators: keys.map((key) => ({ key, code: ErrorCode.NONE, message: null })) };
  },

  refuse: ({ keys }, code, message) => refused(keys, code, message),

  encode(writer, { broker, coordinators }, version) {
    const { nodeId, host, port } = broker;
    if (version >= 1) writer.int32(0);
    if (version >= BATCHED_FROM) {
      writer.structs(coordinators, ({ key, code, message }) => {
        writer.string(key).int32(nodeId).string(host).int32(port).int16(code).nullableString(message);
      });
      return;
    }
    for (const { code, message } of coordinators) {
      writer.int16(code);
      if (version >= 1) writer.nullableString(message);
      writer.int32(nodeId).string(host).int32(port);
    }
  },
});

function refused(keys: readonly string[], code: ErrorCode, message: string): FindCoordinatorResponse {
  return { broker: NO_BROKER, coordinators: keys.map((key) => ({ key, code, message })) };
}
