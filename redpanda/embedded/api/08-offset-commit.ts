/**
 * OffsetCommit (8), versions 2 to 9: durable when answered, fenced by the generation of the group.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_OffsetCommit; KIP-345 (instance ids, v7).
 *
 * Left out: retention times (v2 to v4; offsets are kept until the group or the topic is deleted), the KIP-848 protocol.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import type { Committed, PartitionRef } from "../groups/offsets.ts";
import { offsetCode } from "./offset-code.ts";

interface OffsetCommitRequest {
  readonly groupId: string;
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly topics: readonly { readonly name: string; readonly partitions: readonly PartitionCommit[] }[];
}

interface PartitionCommit extends Committed {
  readonly partition: number;
}

interface OffsetCommitResponse {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partition: number; readonly code: ErrorCode }[];
  }[];
}

export const offsetCommit = defineApi<OffsetCommitRequest, OffsetCommitResponse>({
  key: 8,
  name: "OffsetCommit",
  minVersion: 2,
  maxVersion: 9,
  flexibleFrom: 8,

  decode(reader, version) {
    const groupId = reader.string();
    const generation = reader.int32();
    const memberId = reader.string();
    const instanceId = version >= 7 ? reader.nullableString() : null;
    if (version <= 4) reader.int64(); // the retention time
    const topics = reader.structs(() => ({
      name: reader.string(),
      partitions: reader.structs(() => ({
        partition: reader.int32(),
        offset: reader.int64(),
        leaderEpoch: version >= 6 ? reader.int32() : -1,
        metadata: reader.nullableString() ?? "",
      })),
    }));
    return { groupId, generation, memberId, instanceId, topics };
  },

  async handle(request, broker) {
    const { groupId, generation, topics } = request;
    const accepted: (PartitionRef & Committed)[] = [];
    const results = topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((commit) => {
        const code = offsetCode(broker.topics, name, commit);
        if (code === ErrorCode.NONE) accepted.push({ topic: name, ...commit });
        return { partition: commit.partition, code };
      }),
    }));
    await broker.groups.commit(groupId, request, generation, accepted);
    return { topics: results };
  },

  refuse: ({ topics }, code) => ({
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partition }) => ({ partition, code })),
    })),
  }),

  encode(writer, { topics }, version) {
    if (version >= 3) writer.int32(0);
    writer.structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, ({ partition, code }) => writer.int32(partition).int16(code));
    });
  },
});
