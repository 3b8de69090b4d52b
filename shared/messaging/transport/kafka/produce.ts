import type { Message } from "kafkajs";
import Encoder from "kafkajs/src/protocol/encoder.js";
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
  readonly value: Buffer | string | null;
  readonly headers: Record<string, string>;
  /** The partition to which it was sent. */
  sentTo: number | undefined;

  constructor(record: OutgoingRecord) {
    const { key, value, headers } = record;
    this.record = record;
    this.key = key;
    this.value =
      value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
    this.headers = headers;
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

/** The first version with record batches. From there to 7, the last one that kafkajs knows, requests have one form. */
export const OWN_PRODUCE_VERSION = 3;

/**
 * Encodes a request (https://kafka.apache.org/protocol#The_Messages_Produce), as kafkajs does. Batches are compressed with
 * gzip, the one codec that every client can read.
 *
 * @param nowMs the time of the records, in milliseconds since the epoch
 */
export function encodeProduceRequest(options: ProduceOptions<ProducedMessage>, nowMs: number): Encoder {
  const { acks, timeout, topicData } = options;
  const output = new Encoder(INITIAL_BYTES);
  output.writeString(null).writeInt16(acks).writeInt32(timeout).writeInt32(topicData.length);
  for (const { topic, partitions } of topicData) {
    output.writeString(topic).writeInt32(partitions.length);
    for (const { partition, messages } of partitions) {
      output.writeInt32(partition);
      writeBatch(output, messages, nowMs);
    }
  }
  return output;
}

/** Grows as needed. */
const INITIAL_BYTES = 4_000;

/** A record batch, after the number of its bytes. */
function writeBatch(output: Encoder, messages: readonly ProducedMessage[], nowMs: number): void {
  output.writeInt32(0);
  const from = output.offset;
  writeInt64(output, 0);
  // The length, the leader epoch, the version of the format, the checksum, the attributes.
  output.writeInt32(0).writeInt32(0).writeInt8(2).writeInt32(0).writeInt16(0);
  output.writeInt32(messages.length - 1);
  writeInt64(output, nowMs);
  writeInt64(output, nowMs);
  // No producer id, its epoch, no sequence.
  output.writeInt32(-1).writeInt32(-1).writeInt16(0).writeInt32(0);
  output.writeInt32(messages.length);
  for (const [index, message] of messages.entries()) writeRecord(output, message, index);
  compress(output, from);
  const { buf, offset: end } = output;
  buf.writeInt32BE(end - from, from - 4);
  buf.writeInt32BE(end - from - AT.lengthEnd, from + AT.length);
  buf.writeUInt32BE(crc32c(buf.subarray(from + AT.checksumEnd, end)), from + AT.checksum);
}

/** The lowest level: the next ones save no more than one byte of a hundred. */
const GZIP = { library: "libdeflate", level: 1 } as const;
const GZIP_CODEC = 1;

/** Compresses the records of a batch where that makes it smaller. @param from where the batch begins */
function compress(output: Encoder, from: number): void {
  const records = output.buf.subarray(from + AT.records, output.offset);
  const compressed = Bun.gzipSync(records, GZIP);
  if (compressed.length >= records.length) return;
  records.set(compressed);
  output.offset = from + AT.records + compressed.length;
  output.buf.writeInt16BE(GZIP_CODEC, from + AT.attributes);
}

/** @param index its place in the batch */
function writeRecord(output: Encoder, { key, value, headers }: ProducedMessage, index: number): void {
  const texts = Object.entries(headers);
  let bytes = 2 + Encoder.sizeOfVarInt(index) + Encoder.sizeOfVarInt(texts.length);
  bytes += Encoder.sizeOfVarIntBytes(key) + Encoder.sizeOfVarIntBytes(value);
  for (const [name, text] of texts) {
    bytes += Encoder.sizeOfVarIntBytes(name) + Encoder.sizeOfVarIntBytes(text);
  }
  // No attributes, and the time of the batch.
  output.writeVarInt(bytes).writeInt8(0).writeInt8(0).writeVarInt(index);
  output.writeVarIntBytes(key).writeVarIntBytes(value).writeVarInt(texts.length);
  for (const [name, text] of texts) output.writeVarIntBytes(name).writeVarIntBytes(text);
}

/** @param value not negative, and exact as a number */
function writeInt64(output: Encoder, value: number): void {
  output.writeInt32(Math.floor(value / 2 ** 32)).writeInt32(value | 0);
}

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
