import type { Message } from "kafkajs";
import crc32c from "kafkajs/src/protocol/recordBatch/crc32C/index.js";
import type { OutgoingRecord } from "../transport.ts";
import { AT } from "./batch.ts";

/*
 * What a publish costs the processor, in place of kafkajs (see client.ts and publisher.ts): the encoding of the request
 * and the hash of the keys. For each record kafkajs allocates several buffers, and calculates with 64-bit numbers that
 * are objects. Its compression is slower, too.
 */

/** A record as kafkajs takes it. Without a time: one is set at each attempt, so that a copy has another. */
export class ProducedMessage implements Message {
  readonly record: OutgoingRecord;
  readonly key: string | null;
  /** kafkajs looks only whether there is one. */
  readonly value = null;
  readonly headers: Record<string, string>;
  /** The partition to which it was sent. */
  sentTo: number | undefined;

  constructor(record: OutgoingRecord) {
    this.record = record;
    this.key = record.key;
    this.headers = record.headers;
  }
}

/** What kafkajs encodes. Requests of other producers in the process have other messages, and more options. */
export interface ProduceOptions<SomeMessage = unknown> {
  readonly acks: number;
  /** Milliseconds. */
  readonly timeout: number;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly messages: readonly SomeMessage[] }[];
  }[];
}

/** Whether a request is one of the kit's publisher: without transaction and sequence numbers. */
export function isOwnRequest(options: ProduceOptions): options is ProduceOptions<ProducedMessage> {
  return options.topicData.every(({ partitions }) =>
    partitions.every(({ messages }) => messages.every((message) => message instanceof ProducedMessage)),
  );
}

/** The first version with record batches, and so with headers. From there to 7, the last one that kafkajs knows, requests have one form. */
export const OWN_PRODUCE_VERSION = 3;

/**
 * Encodes a request (https://kafka.apache.org/protocol#The_Messages_Produce), as kafkajs does. Batches are compressed with
 * gzip, the one codec that every client can read.
 *
 * @param nowMs the time of the records, in milliseconds since the epoch
 */
export function encodeProduceRequest(
  options: ProduceOptions<ProducedMessage>,
  nowMs: number,
): EncodedRequest {
  const { acks, timeout, topicData } = options;
  const output = OUTPUT;
  output.length = 0;
  output.string(null).int16(acks).int32(timeout).int32(topicData.length);
  for (const { topic, partitions } of topicData) {
    output.string(topic).int32(partitions.length);
    for (const { partition, messages } of partitions) {
      output.int32(partition);
      writeBatch(output, messages, nowMs);
    }
  }
  const buffer = Buffer.from(output.bytes());
  return { buf: buffer, buffer };
}

/** As kafkajs takes it: the same bytes under two names. */
interface EncodedRequest {
  readonly buf: Buffer;
  readonly buffer: Buffer;
}

/** A record batch, after the number of its bytes. */
function writeBatch(output: Output, messages: readonly ProducedMessage[], nowMs: number): void {
  output.int32(0);
  const from = output.length;
  output.int64(0);
  // The length, the leader epoch, the version of the format, the checksum, the attributes.
  output.int32(0).int32(0).int8(2).int32(0).int16(0);
  output
    .int32(messages.length - 1)
    .int64(nowMs)
    .int64(nowMs);
  // No producer id, its epoch, no sequence.
  output.int32(-1).int32(-1).int16(0).int32(0);
  output.int32(messages.length);
  for (const [index, { record }] of messages.entries()) writeRecord(output, record, index);
  compress(output, from);
  const batch = output.bytes().subarray(from);
  batch.writeInt32BE(batch.length - AT.lengthEnd, AT.length);
  batch.writeUInt32BE(crc32c(batch.subarray(AT.checksumEnd)), AT.checksum);
  output.int32At(from - 4, batch.length);
}

/** The lowest level: the next ones save no more than one byte of a hundred. */
const GZIP = { library: "libdeflate", level: 1 } as const;
const GZIP_CODEC = 1;

/** Compresses the records of a batch where that makes it smaller. @param from where the batch begins */
function compress(output: Output, from: number): void {
  const batch = output.bytes().subarray(from);
  const records = batch.subarray(AT.records);
  const compressed = Bun.gzipSync(records, GZIP);
  if (compressed.length >= records.length) return;
  records.set(compressed);
  output.length = from + AT.records + compressed.length;
  batch.writeInt16BE(GZIP_CODEC, AT.attributes);
}

/** @param index its place in the batch */
function writeRecord(output: Output, { key, value, headers }: OutgoingRecord, index: number): void {
  const from = output.length;
  // No attributes, and the time of the batch.
  output.int8(0).int8(0).varint(index).content(key).content(value);
  const names = Object.keys(headers);
  output.varint(names.length);
  for (const name of names) output.content(name).content(headers[name] ?? null);
  output.prefixLength(from);
}

/** Bytes that grow as they are written, in the types of the Kafka protocol. */
class Output {
  length = 0;
  #buffer = Buffer.allocUnsafe(64 * 1024);

  /** What is written: no copy. */
  bytes(): Buffer<ArrayBuffer> {
    return this.#buffer.subarray(0, this.length);
  }

  int8(value: number): this {
    const at = this.#extend(1);
    this.#buffer[at] = value;
    return this;
  }

  int16(value: number): this {
    const at = this.#extend(2);
    this.#buffer.writeInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    this.int32At(this.#extend(4), value);
    return this;
  }

  int32At(at: number, value: number): void {
    this.#buffer.writeInt32BE(value, at);
  }

  /** @param value not negative, and exact as a number */
  int64(value: number): this {
    return this.int32(Math.floor(value / 2 ** 32)).int32(value | 0);
  }

  /** Zigzag, seven bits a byte, the lowest first. */
  varint(value: number): this {
    let rest = (value << 1) ^ (value >> 31);
    for (; rest > 0x7f; rest >>>= 7) this.int8((rest & 0x7f) | 0x80);
    return this.int8(rest);
  }

  /** After its length in two bytes, -1 for null. */
  string(text: string | null): this {
    if (text === null) return this.int16(-1);
    const bytes = Buffer.from(text);
    return this.int16(bytes.length).#append(bytes);
  }

  /** After its length as a varint, -1 for null. */
  content(content: Uint8Array | string | null): this {
    if (content === null) return this.varint(-1);
    if (typeof content !== "string") return this.varint(content.length).#append(content);
    const from = this.length;
    const most = 3 * content.length;
    const at = this.#extend(most);
    this.length = from + this.#buffer.write(content, at, most);
    return this.prefixLength(from);
  }

  /** Moves what was written from `from` on, and writes its length before it, as a varint. */
  prefixLength(from: number): this {
    const end = this.length;
    const size = varintSize(end - from);
    this.#extend(size);
    this.#buffer.copyWithin(from + size, from, end);
    this.length = from;
    this.varint(end - from);
    this.length = end + size;
    return this;
  }

  #append(bytes: Uint8Array): this {
    const at = this.#extend(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  /** @returns where the `count` bytes begin, which have any content */
  #extend(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(this.length * 2);
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    return at;
  }
}

/** How many bytes a varint has. @param value not negative */
function varintSize(value: number): number {
  return Math.ceil((33 - Math.clz32(value)) / 7);
}

/** For every request: it is copied before the next one is encoded, and has then the size of the largest one. */
const OUTPUT = new Output();

const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/** The hash by which Kafka's own clients choose the partition of a key (`Utils.murmur2`), as a positive number. */
export function keyHash(key: string): number {
  const bytes = Buffer.from(key);
  const { length } = bytes;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = Math.imul(bytes.readInt32LE(at), M);
    word = Math.imul(word ^ (word >>> R), M);
    hash = Math.imul(hash, M) ^ word;
  }
  if (at < length) {
    for (let rest = length - 1; rest >= at; rest--) hash ^= (bytes[rest] ?? 0) << (8 * (rest - at));
    hash = Math.imul(hash, M);
  }
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return (hash ^ (hash >>> 15)) & 0x7fff_ffff;
}
