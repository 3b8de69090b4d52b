/**
 * OffsetFetch (9), versions 1 to 9: the committed offsets of a group, or of several groups from version 8 (KIP-709).
 * Source: https://kafka.apache.org/protocol.html#The_Messages_OffsetFetch
 *
 * With "require stable" (v7), a partition for which a transaction that is not decided has an offset is answered with
 * UNSTABLE_OFFSET_COMMIT, which clients retry (KIP-447). Left out: KIP-848.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";
import type { Committed } from "../groups/offsets.ts";
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";

interface GroupRequest {
  readonly groupId: string;
  /** Null: all partitions with a committed offset. */
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[] | null;
}

interface PartitionResult extends Committed {
  readonly partition: number;
  readonly code: ErrorCode;
}

interface GroupResult {
  readonly groupId: string;
  readonly code: ErrorCode;
  readonly topics: readonly { readonly name: string; readonly partitions: readonly PartitionResult[] }[];
}

interface OffsetFetchRequest {
  readonly groups: readonly GroupRequest[];
  readonly requireStable: boolean;
}

interface OffsetFetchResponse {
  readonly groups: readonly GroupResult[];
}

const BATCHED_FROM = 8;
const NOT_COMMITTED: Committed = { offset: -1, leaderEpoch: -1, metadata: "" };

export const offsetFetch = defineApi<OffsetFetchRequest, OffsetFetchResponse>({
  key: 9,
  name: "OffsetFetch",
  minVersion: 1,
  maxVersion: 9,
  flexibleFrom: 6,

  decode(reader, version) {
    if (version < BATCHED_FROM) {
      const group = { groupId: reader.string(), topics: readTopics(reader) };
      return { groups: [group], requireStable: version >= 7 && reader.boolean() };
    }
    const groups = reader.structs(() => {
      const groupId = reader.string();
      if (version >= 9) {
        reader.nullableString(); // member id and epoch of the KIP-848 protocol
        reader.int32();
      }
      return { groupId, topics: readTopics(reader) };
    });
    return { groups, requireStable: reader.boolean() };
  },

  handle: ({ groups, requireStable }, broker) => ({
    groups: groups.map((group) => fetchGroup(broker, group, requireStable)),
  }),

  refuse: ({ groups }, code) => ({ groups: groups.map(({ groupId }) => ({ groupId, code, topics: [] })) }),

  encode(writer, { groups }, version) {
    if (version >= 3) writer.int32(0);
    if (version >= BATCHED_FROM) {
      writer.structs(groups, (group) => {
        writer.string(group.groupId);
        writeTopics(writer, group, version);
        writer.int16(group.code);
      });
      return;
    }
    for (const group of groups) {
      writeTopics(writer, group, version);
      if (version >= 2) writer.int16(group.code);
    }
  },
});

function readTopics(reader: Reader): GroupRequest["topics"] {
  return reader.nullableStructs(() => ({
    name: reader.string(),
    partitions: reader.array(() => reader.int32()),
  }));
}

function fetchGroup(
  { groups: { offsets }, transactions }: BrokerState,
  { groupId, topics }: GroupRequest,
  requireStable: boolean,
): GroupResult {
  const pending = requireStable ? transactions.pendingOffsets(groupId) : [];
  const isPending = (topic: string, partition: number) =>
    pending.some((one) => one.topic === topic && one.partition === partition);
  const asked = topics ?? byTopic([...offsets.partitions(groupId), ...pending]);
  const results = asked.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map((partition) => {
      if (isPending(name, partition)) {
        return { partition, code: ErrorCode.UNSTABLE_OFFSET_COMMIT, ...NOT_COMMITTED };
      }
      const committed = offsets.get(groupId, { topic: name, partition }) ?? NOT_COMMITTED;
      return { partition, code: ErrorCode.NONE, ...committed };
    }),
  }));
  return { groupId, code: ErrorCode.NONE, topics: results };
}

function byTopic(all: readonly { topic: string; partition: number }[]) {
  const grouped = Map.groupBy(all, ({ topic }) => topic);
  return [...grouped].map(([name, refs]) => ({
    name,
    partitions: [...new Set(refs.map(({ partition }) => partition))],
  }));
}

function writeTopics(writer: Writer, { topics }: GroupResult, version: number): void {
  writer.structs(topics, ({ name, partitions }) => {
    writer.string(name).structs(partitions, ({ partition, code, offset, leaderEpoch, metadata }) => {
      writer.int32(partition).int64(offset);
      if (version >= 5) writer.int32(leaderEpoch);
      writer.nullableString(metadata).int16(code);
    });
  });
}
