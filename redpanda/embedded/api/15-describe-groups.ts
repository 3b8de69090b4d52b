/**
 * DescribeGroups (15), versions 0 to 6: members, their subscriptions and their assignments.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeGroups; KIP-1043 (unknown groups, v6).
 *
 * Left out: authorized operations.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import type { GroupDescription } from "../groups.ts";

interface DescribedGroup extends GroupDescription {
  readonly groupId: string;
  readonly code: ErrorCode;
  readonly message: string | null;
}

/** The value for "not requested". */
const NO_OPERATIONS = -(2 ** 31);
/** The description of an unknown group; before version 6 it comes without an error code. */
const DEAD: GroupDescription = { state: "Dead", protocolType: "", protocol: "", members: [] };
const NOT_FOUND_FROM = 6;

export const describeGroups = defineApi<{ groupIds: string[] }, { groups: readonly DescribedGroup[] }>({
  key: 15,
  name: "DescribeGroups",
  minVersion: 0,
  maxVersion: 6,
  flexibleFrom: 5,

  decode: (reader) => ({ groupIds: reader.array(() => reader.string()) }),

  handle: ({ groupIds }, broker, { version }) => ({
    groups: groupIds.map((groupId) => {
      const known = broker.groups.describe(groupId);
      if (known) return { groupId, code: ErrorCode.NONE, message: null, ...known };
      if (version < NOT_FOUND_FROM) return { groupId, code: ErrorCode.NONE, message: null, ...DEAD };
      return { groupId, code: ErrorCode.GROUP_ID_NOT_FOUND, message: `group ${groupId} not found`, ...DEAD };
    }),
  }),

  refuse: ({ groupIds }, code, message) => ({
    groups: groupIds.map((groupId) => ({ groupId, code, message, ...DEAD })),
  }),

  encode(writer, { groups }, version) {
    if (version >= 1) writer.int32(0);
    writer.structs(groups, ({ groupId, code, message, state, protocolType, protocol, members }) => {
      writer.int16(code);
      if (version >= NOT_FOUND_FROM) writer.nullableString(message);
      writer.string(groupId).string(state).string(protocolType).string(protocol);
      writer.structs(members, (member) => {
        const { instanceId, clientId, clientHost } = member.profile;
        writer.string(member.id);
        if (version >= 4) writer.nullableString(instanceId);
        writer
          .string(clientId)
          .string(clientHost)
          .bytes(member.metadataFor(protocol))
          .bytes(member.assignment);
      });
      if (version >= 3) writer.int32(NO_OPERATIONS);
    });
  },
});
