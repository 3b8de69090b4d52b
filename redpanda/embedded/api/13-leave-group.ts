/**
 * LeaveGroup (13), versions 0 to 5: the caller itself, or from version 3 on a list of members (KIP-345).
 * Source: https://kafka.apache.org/protocol.html#The_Messages_LeaveGroup
 */
import { defineApi } from "../api.ts";
import type { Broker } from "../broker.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../errors.ts";
import type { MemberIdentity } from "../groups/group.ts";

interface LeaveGroupRequest {
  readonly groupId: string;
  readonly members: readonly MemberIdentity[];
}

interface LeaveGroupResponse {
  readonly code: ErrorCode;
  readonly members: readonly (MemberIdentity & { readonly code: ErrorCode })[];
}

const BATCHED_FROM = 3;

export const leaveGroup = defineApi<LeaveGroupRequest, LeaveGroupResponse>({
  key: 13,
  name: "LeaveGroup",
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 4,

  decode(reader, version) {
    const groupId = reader.string();
    if (version < BATCHED_FROM) {
      return { groupId, members: [{ memberId: reader.string(), instanceId: null }] };
    }
    const members = reader.structs(() => {
      const member = { memberId: reader.string(), instanceId: reader.nullableString() };
      if (version >= 5) reader.nullableString(); // the reason
      return member;
    });
    return { groupId, members };
  },

  handle: ({ groupId, members }, broker) => ({
    code: ErrorCode.NONE,
    members: members.map((member) => ({ ...member, code: leave(broker, groupId, member) })),
  }),

  refuse: ({ members }, code) => ({ code, members: members.map((member) => ({ ...member, code })) }),

  encode(writer, { code, members }, version) {
    if (version >= 1) writer.int32(0);
    if (version < BATCHED_FROM) {
      writer.int16(members[0]?.code ?? code);
      return;
    }
    writer.int16(code).structs(members, (member) => {
      writer.string(member.memberId).nullableString(member.instanceId).int16(member.code);
    });
  },
});

function leave(broker: Broker, groupId: string, member: MemberIdentity): ErrorCode {
  try {
    broker.groups.leave(groupId, member);
    return ErrorCode.NONE;
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    return errorCodeOf(error);
  }
}
