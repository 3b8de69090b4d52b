/**
 * Fetch (1), versions 4 to 18. A fetch that finds fewer than `minBytes` waits until an append makes enough readable, or
 * until `maxWaitMs` has passed.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_Fetch; KIP-74 (size limits), KIP-516 (topic ids, v13).
 *
 * Left out: fetch sessions (KIP-227; every fetch is a full one, as the protocol allows), replica fetches, leader epochs,
 * preferred replicas. With read_committed (KIP-98) the records below the last stable offset are readable, and the response
 * lists the aborted transactions, whose records the client skips.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";
import { endOfBatches } from "../log/batch.ts";
import type { AbortedTransaction } from "../log/transactions.ts";
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
  readonly readCommitted: boolean;
  readonly topics: readonly (TopicRef & { readonly partitions: readonly PartitionRequest[] })[];
}

interface PartitionResult {
  readonly index: number;
  readonly code: ErrorCode;
  readonly highWatermark: number;
  readonly startOffset: number;
  readonly lastStableOffset: number;
  readonly aborted: readonly AbortedTransaction[];
  readonly records: Buffer;
}

interface FetchResponse {
  readonly code: ErrorCode;
  readonly topics: readonly (TopicRef & { readonly partitions: readonly PartitionResult[] })[];
}

const TOPIC_IDS_FROM = 13;
const READ_COMMITTED = 1;

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
        const { readCommitted } = request;
        const result = await read(broker, topic, partition, { readCommitted, budget, isFirst });
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
      writer.structs(topic.partitions, ({ index, code, highWatermark, lastStableOffset, ...rest }) => {
        const { startOffset, aborted, records } = rest;
        writer.int32(index).int16(code).int64(highWatermark).int64(lastStableOffset);
        if (version >= 5) writer.int64(startOffset);
        writer.structs(aborted, ({ producerId, firstOffset }) => {
          writer.int64(producerId).int64(firstOffset);
        });
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
          (bytes, { records, aborted }) => bytes + records.length + 64 + aborted.length * 17,
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
  const readCommitted = reader.int8() === READ_COMMITTED;
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
  return { maxWaitMs, minBytes, maxBytes: Math.max(0, maxBytes), sessionEpoch, readCommitted, topics };
}

interface Waiting {
  readonly log: PartitionLog;
  readonly partition: PartitionRequest;
  /** What is readable: at most the limit of the partition. */
  bytes: number;
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
  const waiting: Waiting[] = [];
  let missing = request.minBytes;
  const readable = (log: PartitionLog, { offset, maxBytes }: PartitionRequest) =>
    Math.min(log.bytesFrom(offset, endOf(log, request)), maxBytes);
  /** Undefined when there is an error now, for example because the records were deleted. */
  const readableNow = ({ log, partition }: Waiting) => {
    try {
      return readable(log, partition);
    } catch {
      return undefined;
    }
  };
  try {
    for (const topic of request.topics) {
      for (const partition of topic.partitions) {
        const log = broker.topics.log(topic, partition.index);
        const bytes = readable(log, partition);
        missing -= bytes;
        waiting.push({ log, partition, bytes });
      }
    }
  } catch (error) {
    // A partition with an error is answered at once; `read` finds the same error.
    if (error instanceof KafkaError) return Promise.resolve();
    throw error;
  }
  if (missing <= 0 || waiting.length === 0 || request.maxWaitMs <= 0 || disconnected.aborted)
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
    const onStored = (one: Waiting, stored: number) => {
      // A marker makes earlier records readable for read_committed, and records of an open transaction are not.
      const bytes = request.readCommitted ? readableNow(one) : one.bytes + stored;
      if (stored === 0 || bytes === undefined) return done();
      missing -= bytes - one.bytes;
      one.bytes = bytes;
      if (missing <= 0) done();
    };
    const subscriptions = waiting.map((one) => one.log.onReadable((stored) => onStored(one, stored)));
  });
}

interface Limits {
  readonly readCommitted: boolean;
  /** Bytes. */
  readonly budget: number;
  readonly isFirst: boolean;
}

function read(
  broker: BrokerState,
  topic: TopicRef,
  { index, offset, maxBytes }: PartitionRequest,
  limits: Limits,
): Promise<PartitionResult> {
  const work = async () => {
    const log = broker.topics.log(topic, index);
    const end = endOf(log, limits);
    const records = await log.read(offset, Math.min(maxBytes, limits.budget), limits.isFirst, end);
    const { highWatermark, lastStableOffset, startOffset } = log;
    // Deleted during the read, and perhaps the knowledge which of the records were aborted.
    if (offset < startOffset) throw new KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE);
    // After the read: compaction may remove an aborted transaction meanwhile, and its records before that.
    const { transactions } = log.producers;
    const aborted = limits.readCommitted ? transactions.aborted(offset, endOfBatches(records)) : [];
    return { index, code: ErrorCode.NONE, highWatermark, lastStableOffset, startOffset, aborted, records };
  };
  return catchKafkaError<PartitionResult>(work, ({ code }) => refused(index, code));
}

/** The offset before which the reader may read. */
function endOf(log: PartitionLog, { readCommitted }: { readonly readCommitted: boolean }): number {
  return readCommitted ? log.lastStableOffset : log.highWatermark;
}

function refused(index: number, code: ErrorCode): PartitionResult {
  const unknown = { highWatermark: -1, lastStableOffset: -1, startOffset: -1 };
  return { index, code, ...unknown, aborted: [], records: Buffer.alloc(0) };
}
