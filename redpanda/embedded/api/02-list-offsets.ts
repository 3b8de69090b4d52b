/**
 * ListOffsets (2), versions 1 to 10: the offset for a timestamp, or for one of the special values below.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_ListOffsets; KIP-734 (-3), KIP-405 (-4), KIP-1005 (-5).
 *
 * Left out: leader epochs, tiered storage (-4 equals -2, -5 finds nothing).
 */
import { defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";
import { LEADER_EPOCH } from "../log/batch.ts";
import { findByTimestamp, findMaxTimestamp, type TimestampedOffset } from "../log/timestamps.ts";
import type { PartitionLog } from "../log.ts";

interface ListOffsetsRequest {
  readonly readCommitted: boolean;
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly index: number; readonly timestamp: number }[];
  }[];
}

interface PartitionResult extends TimestampedOffset {
  readonly index: number;
  readonly code: ErrorCode;
}

interface ListOffsetsResponse {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly PartitionResult[] }[];
}

const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;
const EARLIEST_LOCAL = -4;
const LATEST_TIERED = -5;

const READ_COMMITTED = 1;
const NOTHING: TimestampedOffset = { timestamp: -1, offset: -1 };

export const listOffsets = defineApi<ListOffsetsRequest, ListOffsetsResponse>({
  key: 2,
  name: "ListOffsets",
  minVersion: 1,
  maxVersion: 10,
  flexibleFrom: 6,

  decode(reader, version) {
    reader.int32(); // the replica id, -1 for clients
    const readCommitted = version >= 2 && reader.int8() === READ_COMMITTED;
    return {
      readCommitted,
      topics: reader.structs(() => ({
        name: reader.string(),
        partitions: reader.structs(() => {
          const index = reader.int32();
          if (version >= 4) reader.int32(); // the leader epoch known to the client
          return { index, timestamp: reader.int64() };
        }),
      })),
    };
  },

  async handle({ topics, readCommitted }, broker) {
    const results = topics.map(async ({ name, partitions }) => ({
      name,
      partitions: await Promise.all(
        partitions.map(({ index, timestamp }) => {
          const work = async () => {
            const log = broker.topics.log({ name, id: null }, index);
            return { index, code: ErrorCode.NONE, ...(await find(log, timestamp, readCommitted)) };
          };
          return catchKafkaError<PartitionResult>(work, ({ code }) => refused(index, code));
        }),
      ),
    }));
    return { topics: await Promise.all(results) };
  },

  refuse: ({ topics }, code) => ({
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ index }) => refused(index, code)),
    })),
  }),

  encode(writer, { topics }, version) {
    if (version >= 2) writer.int32(0);
    writer.structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, ({ index, code, timestamp, offset }) => {
        writer.int32(index).int16(code).int64(timestamp).int64(offset);
        if (version >= 4) writer.int32(offset < 0 ? -1 : LEADER_EPOCH);
      });
    });
  },
});

/** With `readCommitted`, only offsets below the last stable one are found. */
async function find(
  log: PartitionLog,
  timestamp: number,
  readCommitted: boolean,
): Promise<TimestampedOffset> {
  const end = readCommitted ? log.lastStableOffset : log.highWatermark;
  switch (timestamp) {
    case LATEST:
      return { timestamp: -1, offset: end };
    case EARLIEST:
    case EARLIEST_LOCAL:
      return { timestamp: -1, offset: log.startOffset };
    case LATEST_TIERED:
      return NOTHING;
    default: {
      const found = await (timestamp === MAX_TIMESTAMP
        ? findMaxTimestamp(log)
        : findByTimestamp(log, timestamp));
      return found.offset < end ? found : NOTHING;
    }
  }
}

function refused(index: number, code: ErrorCode): PartitionResult {
  return { index, code, timestamp: -1, offset: -1 };
}
