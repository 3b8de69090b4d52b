/**
 * DeleteGroups (42), versions 0 to 2: deletes the committed offsets of groups without members.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DeleteGroups; KIP-229.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";

interface GroupResult {
  readonly groupId: string;
  readonly code: ErrorCode;
}

export const deleteGroups = defineApi<{ groupIds: string[] }, { results: readonly GroupResult[] }>({
  key: 42,
  name: "DeleteGroups",
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,

  decode: (reader) => ({ groupIds: reader.array(() => reader.string()) }),

  async handle({ groupIds }, broker) {
    return { results: await Promise.all(groupIds.map((groupId) => remove(broker, groupId))) };
  },

  refuse: ({ groupIds }, code) => ({ results: groupIds.map((groupId) => ({ groupId, code })) }),

  encode(writer, { results }) {
    writer.int32(0).structs(results, ({ groupId, code }) => writer.string(groupId).int16(code));
  },
});

function remove({ groups }: BrokerState, groupId: string): Promise<GroupResult> {
  const work = async () => {
    await groups.delete(groupId);
    return { groupId, code: ErrorCode.NONE };
  };
  return catchKafkaError<GroupResult>(work, ({ code }) => ({ groupId, code }));
}
