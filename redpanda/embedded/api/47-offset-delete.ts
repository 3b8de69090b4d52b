/**
 * OffsetDelete (47), version 0: deletes committed offsets of topics that no member of the group subscribes to.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_OffsetDelete; KIP-496.
 */
import { defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";

interface OffsetDeleteRequest {
  readonly groupId: string;
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[];
}

interface OffsetDeleteResponse {
  readonly code: ErrorCode;
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly index: number; readonly code: ErrorCode }[];
  }[];
}

export const offsetDelete = defineApi<OffsetDeleteRequest, OffsetDeleteResponse>({
  key: 47,
  name: "OffsetDelete",
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: Number.POSITIVE_INFINITY,

  decode: (reader) => ({
    groupId: reader.string(),
    topics: reader.structs(() => ({
      name: reader.string(),
      partitions: reader.structs(() => reader.int32()),
    })),
  }),

  async handle({ groupId, topics }, broker) {
    const count = (name: string) => broker.topics.find({ name, id: null })?.partitions.length ?? 0;
    const exists = (name: string, index: number) => index >= 0 && index < count(name);
    const known = topics.flatMap(({ name, partitions }) =>
      partitions.filter((index) => exists(name, index)).map((partition) => ({ topic: name, partition })),
    );
    const work = async () => {
      const subscribed = await broker.groups.deleteOffsets(groupId, known);
      const codeOf = (name: string, index: number) => {
        if (!exists(name, index)) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        return subscribed.has(name) ? ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC : ErrorCode.NONE;
      };
      const results = topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map((index) => ({ index, code: codeOf(name, index) })),
      }));
      return { code: ErrorCode.NONE, topics: results };
    };
    return catchKafkaError<OffsetDeleteResponse>(work, ({ code }) => ({ code, topics: [] }));
  },

  refuse: (_request, code) => ({ code, topics: [] }),

  encode(writer, { code, topics }) {
    writer.int16(code).int32(0);
    writer.structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, (partition) => {
        writer.int32(partition.index).int16(partition.code);
      });
    });
  },
});
