/**
 * Fetch (1), versions 4 to 18. A fetch that finds fewer than `minBytes` waits until an append makes enough readable, or
 * until `maxWaitMs` has passed.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_Fetch; KIP-74 (size limits), KIP-516 (topic ids, v13).
 *
 * Left out: fetch sessions (KIP-227; every fetch is a full one, as the protocol allows), replica fetches, leader epochs,
 * preferred replicas. Without transactions read_committed equals read_uncommitted.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";
import type { PartitionLog } from "../log.ts";
import { readTopic, type TopicRef, writeTopic } from "../topics/ref.ts";
import type { Reader } from "../wire/reader.ts";

interface PartitionRequest {
  readonly index: number;
  readonly offset: number;
  readonly maxBytes: number;
}

interface FetchRequest {
  readonly maxWaitMs: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly sessionEpoch: number;
  readonly topics: readonly (TopicRef & { readonly partitions: readonly PartitionRequest[] })[];
}

interface PartitionResult {
  readonly index: number;
  readonly code: ErrorCode;
  readonly highWatermark: number;
  readonly startOffset: number;
  readonly records: Buffer;
}

interface FetchResponse {
  readonly code: ErrorCode;
  readonly topics: readonly (TopicRef & { readonly partitions: readonly PartitionResult[] })[];
}

const TOPIC_IDS_FROM = 13;

export const fetch = defineApi<FetchRequest, FetchResponse>({
  key: 1,
  name: "Fetch",
  minVersion: 4,
  maxVersion: 18,
  flexibleFrom: 12,

  decode,

  async handle(request, broker, { disconnected, turn, reserve }) {
    if (request.sessionEpoch > 0) return { code: ErrorCode.FETCH_SESSION_ID_NOT_FOUND, topics: [] };
    await untilReadable(request, broker, disconnected);
    // Reads only when the response can be sent, so a slow client holds at most one response in memory.
    await turn;
    let budget = Math.min(request.maxBytes, broker.options.maxFetchBytes);
    if (!(await reserve(estimatedBytes(request, broker, budget)))) return undefined;
    let isFirst = true;
    const topics = [];
    for (const topic of request.topics) {
      const partitions = [];
      for (const partition of topic.partitions) {
        const result = await read(broker, topic, partition, budget, isFirst);
        budget = Math.max(0, budget - result.records.length);
        isFirst &&= result.records.length === 0;
        partitions.push(result);
      }
      topics.push({ ...topic, partitions });
    }
    return { code: ErrorCode.NONE, topics };
  },

  refuse: (request, code) => ({
    code: ErrorCode.NONE,
    topics: request.topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map(({ index }) => refused(index, code)),
    })),
  }),

  encode(writer, response, version) {
    writer.int32(0);
    const noSession = 0;
    if (version >= 7) writer.int16(response.code).int32(noSession);
    writer.structs(response.topics, (topic) => {
      writeTopic(writer, topic, version >= TOPIC_IDS_FROM);
      writer.structs(topic.partitions, ({ index, code, highWatermark, startOffset, records }) => {
        writer.int32(index).int16(code).int64(highWatermark);
        const lastStableOffset = highWatermark;
        writer.int64(lastStableOffset);
        if (version >= 5) writer.int64(startOffset);
        const abortedTransactions: never[] = [];
        writer.structs(abortedTransactions, () => {});
        const noPreferredReplica = -1;
        if (version >= 11) writer.int32(noPreferredReplica);
        writer.bytes(records);
      });
    });
  },

  sizeHint: ({ topics }) =>
    topics.reduce(
      (sum, { name, partitions }) =>
        partitions.reduce(
          (bytes, { records }) => bytes + records.length + 64,
          sum + (name?.length ?? 0) + 32,
        ),
      32,
    ),
});

function decode(reader: Reader, version: number): FetchRequest {
  if (version <= 14) reader.int32(); // the replica id, -1 for clients
  const maxWaitMs = reader.int32();
  const minBytes = reader.int32();
  const maxBytes = reader.int32();
  reader.int8(); // the isolation level
  if (version >= 7) reader.int32(); // the session id, ignored: epochs 0 and -1 ask for a full fetch
  const sessionEpoch = version >= 7 ? reader.int32() : -1;
  const topics = reader.structs(() => ({
    ...readTopic(reader, version >= TOPIC_IDS_FROM),
    partitions: reader.structs(() => {
      const index = reader.int32();
      if (version >= 9) reader.int32(); // the leader epoch known to the client
      const offset = reader.int64();
      if (version >= 12) reader.int32(); // the epoch of the last fetched record
      if (version >= 5) reader.int64(); // the log start offset of a follower
      return { index, offset, maxBytes: Math.max(0, reader.int32()) };
    }),
  }));
  return { maxWaitMs, minBytes, maxBytes: Math.max(0, maxBytes), sessionEpoch, topics };
}

/** An upper bound of what `read` returns, unless a batch is larger than its topic allows. */
function estimatedBytes(request: FetchRequest, { topics }: BrokerState, limit: number): number {
  let sum = 0;
  let largestFirst = 0;
  for (const ref of request.topics) {
    const topic = topics.find(ref);
    for (const { index, offset, maxBytes } of ref.partitions) {
      const readable = topic?.partitions[index]?.segments.bytesFrom(offset) ?? 0;
      sum += Math.min(readable, maxBytes);
      // The first batch is returned whatever its size.
      largestFirst = Math.max(largestFirst, Math.min(readable, topic?.config.maxMessageBytes ?? 0));
    }
  }
  return Math.max(largestFirst, Math.min(limit, sum));
}

/** Resolves when `minBytes` are readable, a partition has an error, `maxWaitMs` has passed or the client disconnected. */
function untilReadable(request: FetchRequest, broker: BrokerState, disconnected: AbortSignal): Promise<void> {
  const logs: PartitionLog[] = [];
  let missing = request.minBytes;
  try {
    for (const topic of request.topics) {
      for (const { index, offset, maxBytes } of topic.partitions) {
        const log = broker.topics.log(topic, index);
        missing -= Math.min(log.bytesFrom(offset), maxBytes);
        logs.push(log);
      }
    }
  } catch (error) {
    // A partition with an error is answered at once; `read` finds the same error.
    if (error instanceof KafkaError) return Promise.resolve();
    throw error;
  }
  if (missing <= 0 || logs.length === 0 || request.maxWaitMs <= 0 || disconnected.aborted)
    return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      disconnected.removeEventListener("abort", done);
      for (const unsubscribe of subscriptions) unsubscribe();
      resolve();
    };
    const timer = setTimeout(done, request.maxWaitMs);
    disconnected.addEventListener("abort", done);
    const subscriptions = logs.map((log) =>
      log.onReadable((bytes) => {
        missing -= bytes;
        if (missing <= 0 || bytes === 0) done();
      }),
    );
  });
}

function read(
  broker: BrokerState,
  topic: TopicRef,
  { index, offset, maxBytes }: PartitionRequest,
  budget: number,
  isFirst: boolean,
): Promise<PartitionResult> {
  const work = async () => {
    const log = broker.topics.log(topic, index);
    const records = await log.read(offset, Math.min(maxBytes, budget), isFirst);
    const { highWatermark, startOffset } = log;
    return { index, code: ErrorCode.NONE, highWatermark, startOffset, records };
  };
  return catchKafkaError(work, ({ code }) => refused(index, code));
}

function refused(index: number, code: ErrorCode): PartitionResult {
  return { index, code, highWatermark: -1, startOffset: -1, records: Buffer.alloc(0) };
}
