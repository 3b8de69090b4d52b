/**
 * SyncGroup (14), versions 0 to 5: the leader sends the assignment; each member receives its part.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_SyncGroup; KIP-559 (protocol type and name, v5).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import type { SyncRequest, SyncResult } from "../groups.ts";

interface SyncGroupRequest extends SyncRequest {
  readonly groupId: string;
}

interface SyncGroupResponse extends SyncResult {
  readonly code: ErrorCode;
}

export const syncGroup = defineApi<SyncGroupRequest, SyncGroupResponse>({
  key: 14,
  name: "SyncGroup",
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 4,

  decode(reader, version) {
    const groupId = reader.string();
    const generation = reader.int32();
    const memberId = reader.string();
    const instanceId = version >= 3 ? reader.nullableString() : null;
    const protocolType = version >= 5 ? reader.nullableString() : null;
    const protocol = version >= 5 ? reader.nullableString() : null;
    // Copies: the group keeps them, and views would keep the whole frame in memory.
    const assignments = reader.structs(() => [reader.string(), Buffer.from(reader.bytes())] as const);
    return {
      groupId,
      generation,
      memberId,
      instanceId,
      protocolType,
      protocol,
      assignments: new Map(assignments),
    };
  },

  async handle(request, broker) {
    return { code: ErrorCode.NONE, ...(await broker.groups.sync(request.groupId, request)) };
  },

  refuse: (_request, code) => ({ code, protocolType: "", protocol: "", assignment: Buffer.alloc(0) }),

  encode(writer, { code, protocolType, protocol, assignment }, version) {
    if (version >= 1) writer.int32(0);
    writer.int16(code);
    if (version >= 5) writer.nullableString(protocolType).nullableString(protocol);
    writer.bytes(assignment);
  },
});
