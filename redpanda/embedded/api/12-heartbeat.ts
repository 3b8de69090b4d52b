/**
 * Heartbeat (12), versions 0 to 4.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_Heartbeat; KIP-345 (instance ids, v3).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";

interface HeartbeatRequest {
  readonly groupId: string;
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | null;
}

export const heartbeat = defineApi<HeartbeatRequest, { code: ErrorCode }>({
  key: 12,
  name: "Heartbeat",
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 4,

  decode: (reader, version) => ({
    groupId: reader.string(),
    generation: reader.int32(),
    memberId: reader.string(),
    instanceId: version >= 3 ? reader.nullableString() : null,
  }),

  handle(request, broker) {
    broker.groups.heartbeat(request.groupId, request, request.generation);
    return { code: ErrorCode.NONE };
  },

  refuse: (_request, code) => ({ code }),

  encode(writer, { code }, version) {
    if (version >= 1) writer.int32(0);
    writer.int16(code);
  },
});
