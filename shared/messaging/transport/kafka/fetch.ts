import { errorText } from "../../errors.ts";
import type { UndecodableBatch } from "../transport.ts";
import { AT } from "./batch.ts";
import { decompress } from "./codecs.ts";

/*
 * The response of a fetch, decoded in place of kafkajs (see client.ts). kafkajs rejects the whole response, of all
 * topics, when one batch of it cannot be decoded, stops to consume then, and keeps neither the bytes of headers, nor
 * where a log begins.
 */

/**
 * A record as kafkajs passes it to `eachBatch`, with what the transport needs beside. The kit's consumers have no use for
 * `timestamp` and `headers`, see `complete`.
 */
export interface FetchedMessage {
  readonly offset: string;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly rawHeaders: RawHeaders;
  /** kafkajs passes such records over. */
  readonly isControlRecord: boolean;
  readonly batchContext: BatchContext;
  /** The first offset that the log still has. */
  readonly logStart: number;
  /** Instead of a record: a batch that cannot be decoded. It is the last message of its response. */
  readonly undecodable?: UndecodableBatch;
}

type RawHeaders = readonly (readonly [name: Buffer, value: Buffer | null])[];
type HeaderValue = Buffer | null;

/** Adds to the messages of another consumer in the process what kafkajs gives it. @param messages as they were decoded */
export function complete(messages: readonly object[]): void {
  for (const message of messages) {
    const { timestampMs = 0, rawHeaders = [] } = message as Partial<FetchedMessage>;
    Object.assign(message, { timestamp: String(timestampMs), headers: byName(rawHeaders) });
  }
}

/** By name; the values of a name that is repeated are an array. */
function byName(headers: RawHeaders): Record<string, HeaderValue | HeaderValue[]> {
  const values = Map.groupBy(headers, ([name]) => name.toString());
  return Object.fromEntries(
    Array.from(values, ([name, [first, ...more]]) => {
      const value = first?.[1] ?? null;
      return [name, more.length === 0 ? value : [value, ...more.map(([, other]) => other)]];
    }),
  );
}

/** What kafkajs leaves out aborted transactions by, and the leader epoch. */
interface BatchContext {
  readonly producerId: string;
  readonly inTransaction: boolean;
  readonly partitionLeaderEpoch: number;
}

/** The log of a partition whose fetch brought no messages. */
interface EmptyLog {
  /** The first offset that it still has. */
  readonly start: number;
  /** One past the last offset that can be read: what follows is of transactions that are open. */
  readonly readableEnd: number;
}

/** By the messages of a partition, of which there are none. */
const emptyLogs = new WeakMap<object, EmptyLog>();

/** The log of a partition whose fetch brought no messages. @param messages as they were decoded */
export function emptyLogOf(messages: object): EmptyLog | undefined {
  return emptyLogs.get(messages);
}

/** The batch that cannot be decoded among the messages of a fetch, if there is one. */
export function undecodableOf(messages: readonly object[]): UndecodableBatch | undefined {
  return (messages.at(-1) as Partial<FetchedMessage> | undefined)?.undecodable;
}

/** Versions of the fetch response (https://kafka.apache.org/protocol#The_Messages_Fetch) that kafkajs knows. */
export const FETCH_VERSIONS = [4, 5, 6, 7, 8, 9, 10, 11] as const;

/** Decodes a response body as kafkajs does, but never fails because of what a record batch contains. */
export function decodeFetchResponse(version: number, body: Buffer) {
  const input = new Input(body);
  const throttle = input.int32();
  const session = version >= 7 ? { errorCode: input.int16(), sessionId: input.int32() } : {};
  const responses = input.array(() => ({
    topicName: input.text(),
    partitions: input.array(() => decodePartition(version, input)),
  }));
  // From version 8 on the broker does not delay the response, and expects the client to wait.
  const throttled =
    version >= 8 ? { throttleTime: 0, clientSideThrottleTime: throttle } : { throttleTime: throttle };
  return { ...throttled, ...session, responses };
}

function decodePartition(version: number, input: Input) {
  const partition = input.int32();
  const errorCode = input.int16();
  const end = input.int64();
  const stableEnd = input.int64();
  const logStart = version >= 5 ? input.int64() : 0;
  const abortedTransactions = input.array(() => ({
    producerId: String(input.int64()),
    firstOffset: String(input.int64()),
  }));
  const replica = version >= 11 ? { preferredReadReplica: input.int32() } : {};
  const messages = decodeBatches(input.bytes(Math.max(0, input.int32())), logStart);
  if (messages.length === 0) {
    emptyLogs.set(messages, { start: logStart, readableEnd: stableEnd < 0 ? end : stableEnd });
  }
  const offsets = {
    ...{ highWatermark: String(end), lastStableOffset: String(stableEnd), lastStartOffset: String(logStart) },
  };
  return { partition, errorCode, ...offsets, abortedTransactions, ...replica, messages };
}

const CODEC_MASK = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/** The records of a partition, up to the first batch that cannot be decoded. An incomplete batch at the end is left out. */
export function decodeBatches(set: Buffer, logStart: number): FetchedMessage[] {
  const messages: FetchedMessage[] = [];
  for (let at = 0; at + AT.magic < set.length; ) {
    const end = at + AT.lengthEnd + set.readInt32BE(at + AT.length);
    if (end > set.length) break;
    const batch = set.subarray(at, Math.max(end, at + AT.magic + 1));
    const offset = int64At(batch, 0);
    try {
      decodeBatch(batch, logStart, messages);
    } catch (error) {
      const bytes = Buffer.from(batch);
      const undecodable = { offset, lastOffset: lastOffsetOf(batch), bytes, cause: errorText(error) };
      messages.push({ ...placeholder(batch, undecodable.lastOffset, logStart), undecodable });
      break;
    }
    at = end;
  }
  return messages;
}

function lastOffsetOf(batch: Buffer): number {
  const offset = int64At(batch, 0);
  const isCurrent = batch.length >= AT.records && batch.readInt8(AT.magic) === 2;
  return offset + (isCurrent ? Math.max(0, batch.readInt32BE(AT.lastOffsetDelta)) : 0);
}

/** Stands for a batch without records. */
function placeholder(batch: Buffer, offset: number, logStart: number): FetchedMessage {
  return {
    offset: String(offset),
    timestampMs: 0,
    key: null,
    value: null,
    rawHeaders: [],
    isControlRecord: false,
    batchContext: {
      producerId: "-1",
      inTransaction: false,
      partitionLeaderEpoch: batch.readInt32BE(AT.epoch),
    },
    logStart,
  };
}

/** @throws when anything of it is not as the format has it; `messages` is as before then */
function decodeBatch(batch: Buffer, logStart: number, messages: FetchedMessage[]): void {
  const magic = batch.readInt8(AT.magic);
  if (magic !== 2) throw new Error(`the message format ${magic} is not supported, only 2`);
  if (batch.length < AT.records) throw new Error("the batch is shorter than its header");
  const base = int64At(batch, 0);
  const attributes = batch.readInt16BE(AT.attributes);
  const appendedAtMs = (attributes & LOG_APPEND_TIME) === 0 ? undefined : int64At(batch, AT.maxTimestamp);
  const firstTimestampMs = int64At(batch, AT.firstTimestamp);
  const isControlRecord = (attributes & CONTROL) !== 0;
  const batchContext: BatchContext = {
    producerId: String(batch.readBigInt64BE(AT.producerId)),
    inTransaction: (attributes & TRANSACTIONAL) !== 0,
    partitionLeaderEpoch: batch.readInt32BE(AT.epoch),
  };
  const count = batch.readInt32BE(AT.count);
  const lastOffset = lastOffsetOf(batch);
  // Compaction may leave a batch without records. kafkajs would not go past it.
  if (count === 0) messages.push({ ...placeholder(batch, lastOffset, logStart), isControlRecord: true });
  const input = new Input(decompress(attributes & CODEC_MASK, batch.subarray(AT.records)));
  const decoded: FetchedMessage[] = [];
  let previous = base - 1;
  for (let index = 0; index < count; index++) {
    const end = input.endOf(input.varint());
    input.int8();
    const sentAtMs = firstTimestampMs + input.varlong();
    const offset = base + input.varint();
    // A record out of order would be handled again, or never.
    if (offset <= previous || offset > lastOffset)
      throw new Error(`record ${index} has the offset ${offset}`);
    previous = offset;
    const key = input.nullable(input.varint());
    const value = input.nullable(input.varint());
    const rawHeaders: [Buffer, Buffer | null][] = [];
    for (let left = input.varint(); left > 0; left--) {
      rawHeaders.push([input.bytes(input.varint()), input.nullable(input.varint())]);
    }
    input.end(end);
    decoded.push({
      offset: String(offset),
      timestampMs: appendedAtMs ?? sentAtMs,
      key,
      value,
      rawHeaders,
      isControlRecord,
      batchContext,
      logStart,
    });
  }
  input.end();
  for (const message of decoded) messages.push(message);
}

function int64At(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

/** Reads the types of the Kafka protocol. @throws beyond the end of the bytes */
export class Input {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int8(): number {
    return this.#bytes.readInt8(this.#advance(1));
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#advance(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#advance(4));
  }

  int64(): number {
    return int64At(this.#bytes, this.#advance(8));
  }

  /** Zigzag, seven bits a byte, the lowest first. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    throw new Error("a varint is too long");
  }

  /** The same with up to 64 bits. A result of more than 53 is not exact. */
  varlong(): number {
    let byte = this.#byte();
    const isNegative = (byte & 1) === 1;
    let value = (byte & 0x7f) >> 1;
    for (let weight = 2 ** 6; byte > 0x7f; weight *= 2 ** 7) {
      if (weight > 2 ** 62) throw new Error("a varint is too long");
      byte = this.#byte();
      value += (byte & 0x7f) * weight;
    }
    return isNegative ? -value - 1 : value;
  }

  text(): string {
    return this.bytes(this.int16()).toString();
  }

  bytes(length: number): Buffer {
    const from = this.#advance(length);
    return this.#bytes.subarray(from, from + length);
  }

  /** @param length -1 for null */
  nullable(length: number): Buffer | null {
    return length === -1 ? null : this.bytes(length);
  }

  /** @returns where a part of this length ends that begins here */
  endOf(length: number): number {
    const from = this.#advance(length);
    this.#at = from;
    return from + length;
  }

  /** @returns an empty one for the length -1, which stands for null */
  array<Item>(read: () => Item): Item[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read);
  }

  /** @throws unless everything before `end`, by default the end of the bytes, has been read, and nothing after it */
  end(end = this.#bytes.length): void {
    if (this.#at !== end) throw new Error(`a part ends at ${end} instead of ${this.#at}`);
  }

  #byte(): number {
    return this.#bytes[this.#advance(1)] ?? 0;
  }

  #advance(count: number): number {
    const from = this.#at;
    if (count < 0 || from + count > this.#bytes.length) throw new Error(`a length of ${count} is wrong`);
    this.#at += count;
    return from;
  }
}
