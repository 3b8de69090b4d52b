/**
 * DescribeLogDirs (35), versions 1 to 4: the bytes of each partition in the directory of the logs.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeLogDirs; KIP-113.
 *
 * Left out: the size of the volume and what is free on it.
 */
import { defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";

interface DescribeLogDirsRequest {
  /** Null: all. */
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[] | null;
}

interface DescribeLogDirsResponse {
  readonly code: ErrorCode;
  readonly directories: readonly {
    readonly path: string;
    readonly topics: readonly {
      readonly name: string;
      readonly partitions: readonly { readonly index: number; readonly bytes: number }[];
    }[];
  }[];
}

export const describeLogDirs = defineApi<DescribeLogDirsRequest, DescribeLogDirsResponse>({
  key: 35,
  name: "DescribeLogDirs",
  minVersion: 1,
  maxVersion: 4,
  flexibleFrom: 2,

  decode: (reader) => ({
    topics: reader.nullableStructs(() => ({
      name: reader.string(),
      partitions: reader.array(() => reader.int32()),
    })),
  }),

  handle({ topics: wanted }, { topics }) {
    const described = topics.all().flatMap(({ name, partitions }) => {
      const indexes = new Set(
        wanted?.filter((topic) => topic.name === name).flatMap((topic) => topic.partitions),
      );
      const found = partitions
        .map(({ segments }, index) => ({
          index,
          bytes: segments.all.reduce((sum, { size }) => sum + size, 0),
        }))
        .filter(({ index }) => wanted === null || indexes.has(index));
      return found.length > 0 ? [{ name, partitions: found }] : [];
    });
    return { code: ErrorCode.NONE, directories: [{ path: topics.root, topics: described }] };
  },

  refuse: (_request, code) => ({ code, directories: [] }),

  encode(writer, { code, directories }, version) {
    writer.int32(0);
    if (version >= 3) writer.int16(code);
    writer.structs(directories, ({ path, topics }) => {
      writer.int16(ErrorCode.NONE).string(path);
      writer.structs(topics, ({ name, partitions }) => {
        writer.string(name).structs(partitions, ({ index, bytes }) => {
          const lag = 0;
          const isFuture = false;
          writer.int32(index).int64(bytes).int64(lag).boolean(isFuture);
        });
      });
      const unknown = -1;
      if (version >= 4) writer.int64(unknown).int64(unknown);
    });
  },
});
