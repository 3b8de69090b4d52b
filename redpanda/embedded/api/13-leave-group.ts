/**
 * LeaveGroup (13), versions 0 to 5: removes the caller, or from version 3 a list of members (KIP-345).
 * Source: https://kafka.apache.org/protocol.html#The_Messages_LeaveGroup
 */
import { defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";
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

  async handle({ groupId, members }, { groups }) {
    const results = members.map((member) =>
      catchKafkaError(
        () => {
          groups.leave(groupId, member);
          return { ...member, code: ErrorCode.NONE };
        },
        ({ code }) => ({ ...member, code }),
      ),
    );
    return { code: ErrorCode.NONE, members: await Promise.all(results) };
  },

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
