/**
 * JoinGroup (11), versions 0 to 9: answered when the rebalance that it starts or joins completes.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_JoinGroup; KIP-62 (v1), KIP-394 (v4), KIP-345 (v5),
 * KIP-814 (v9).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import { MemberIdRequired } from "../groups/group.ts";
import type { JoinResult, Protocol } from "../groups/member.ts";

interface JoinGroupRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly Protocol[];
}

interface JoinGroupResponse extends JoinResult {
  readonly code: ErrorCode;
}

export const joinGroup = defineApi<JoinGroupRequest, JoinGroupResponse>({
  key: 11,
  name: "JoinGroup",
  minVersion: 0,
  maxVersion: 9,
  flexibleFrom: 6,

  decode(reader, version) {
    const groupId = reader.string();
    const sessionTimeoutMs = reader.int32();
    const rebalanceTimeoutMs = version >= 1 ? reader.int32() : sessionTimeoutMs;
    const memberId = reader.string();
    const instanceId = version >= 5 ? reader.nullableString() : null;
    const protocolType = reader.string();
    // Copies: the group keeps them, and views would keep the whole frame in memory.
    const protocols = reader.structs(() => ({
      name: reader.string(),
      metadata: Buffer.from(reader.bytes()),
    }));
    return { groupId, memberId, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, protocolType, protocols };
  },

  async handle(request, broker, { version, clientId, host }) {
    const profile = {
      ...request,
      clientId,
      clientHost: host,
      requiresMemberId: version >= 4,
      canSkipAssignment: version >= 9,
    };
    try {
      return { code: ErrorCode.NONE, ...(await broker.groups.join(request.groupId, profile)) };
    } catch (error) {
      if (error instanceof MemberIdRequired) return refused(error.memberId, error.code);
      throw error;
    }
  },

  refuse: ({ memberId }, code) => refused(memberId, code),

  encode(writer, response, version) {
    const { code, generation, protocolType, protocol, leader, memberId, members, skipAssignment } = response;
    if (version >= 2) writer.int32(0);
    writer.int16(code).int32(generation);
    if (version >= 7) writer.nullableString(protocolType).nullableString(protocol);
    else writer.string(protocol);
    writer.string(leader);
    if (version >= 9) writer.boolean(skipAssignment);
    writer.string(memberId).structs(members, ({ id, instanceId, metadata }) => {
      writer.string(id);
      if (version >= 5) writer.nullableString(instanceId);
      writer.bytes(metadata);
    });
  },
});

function refused(memberId: string, code: ErrorCode): JoinGroupResponse {
  const nothing = {
    generation: -1,
    protocolType: "",
    protocol: "",
    leader: "",
    members: [],
    skipAssignment: false,
  };
  return { code, memberId, ...nothing };
}
