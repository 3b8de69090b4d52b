/**
 * ListGroups (16), versions 0 to 5: every group that has members or committed offsets.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_ListGroups; KIP-518 (states, v4), KIP-848 (types, v5).
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";

interface ListGroupsRequest {
  /** Empty: all. */
  readonly states: readonly string[];
  /** Empty: all. */
  readonly types: readonly string[];
}

interface ListGroupsResponse {
  readonly code: ErrorCode;
  readonly groups: readonly {
    readonly groupId: string;
    readonly state: string;
    readonly protocolType: string;
  }[];
}

/** The only supported group type; the others come from KIP-848. */
const TYPE = "classic";

export const listGroups = defineApi<ListGroupsRequest, ListGroupsResponse>({
  key: 16,
  name: "ListGroups",
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 3,

  decode: (reader, version) => ({
    states: version >= 4 ? reader.array(() => reader.string()) : [],
    types: version >= 5 ? reader.array(() => reader.string()) : [],
  }),

  handle({ states, types }, broker) {
    if (types.length > 0 && !includes(types, TYPE)) return { code: ErrorCode.NONE, groups: [] };
    const groups = broker.groups
      .list()
      .map((groupId) => ({ groupId, state: "Empty", protocolType: "", ...broker.groups.describe(groupId) }))
      .filter(({ state }) => states.length === 0 || includes(states, state));
    return { code: ErrorCode.NONE, groups };
  },

  refuse: (_request, code) => ({ code, groups: [] }),

  encode(writer, { code, groups }, version) {
    if (version >= 1) writer.int32(0);
    writer.int16(code).structs(groups, ({ groupId, state, protocolType }) => {
      writer.string(groupId).string(protocolType);
      if (version >= 4) writer.string(state);
      if (version >= 5) writer.string(TYPE);
    });
  },
});

function includes(names: readonly string[], name: string): boolean {
  return names.some((candidate) => candidate.toLowerCase() === name.toLowerCase());
}
