/**
 * Record batches, message format v2: the unit in which records are sent, stored and read. A batch is stored as the
 * client sent it; the broker sets only the base offset and the leader epoch, which the checksum does not cover.
 * Source: https://kafka.apache.org/documentation/#recordbatch
 */

import { ErrorCode, KafkaError } from "../errors.ts";
import { readInt64, writeInt64 } from "../wire/int64.ts";
import { Codec } from "./codecs.ts";
import { crc32c } from "./crc32c.ts";

/** The leader never changes: nothing is replicated. */
export const LEADER_EPOCH = 0;

/** Byte positions in a batch. */
const AT = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
} as const;

/** Base offset and length: the bytes needed to find the next batch. */
const LENGTH_PREFIX = 12;
export const HEADER_SIZE = 61;

/** Bits of the attributes. */
const CODEC = 0x07;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/** A view of one batch in a buffer. */
export class RecordBatch {
  /** @param bytes exactly one complete batch. */
  constructor(readonly bytes: Buffer) {}

  get baseOffset(): number {
    return readInt64(this.bytes, AT.baseOffset);
  }

  get lastOffset(): number {
    return this.baseOffset + this.lastOffsetDelta;
  }

  get lastOffsetDelta(): number {
    return this.bytes.readInt32BE(AT.lastOffsetDelta);
  }

  get leaderEpoch(): number {
    return this.bytes.readInt32BE(AT.leaderEpoch);
  }

  get magic(): number {
    return this.bytes.readInt8(AT.magic);
  }

  get attributes(): number {
    return this.bytes.readInt16BE(AT.attributes);
  }

  get codec(): number {
    return this.attributes & CODEC;
  }

  get isTransactional(): boolean {
    return (this.attributes & TRANSACTIONAL) !== 0;
  }

  get isControl(): boolean {
    return (this.attributes & CONTROL) !== 0;
  }

  get baseTimestamp(): number {
    return readInt64(this.bytes, AT.baseTimestamp);
  }

  get maxTimestamp(): number {
    return readInt64(this.bytes, AT.maxTimestamp);
  }

  get producerId(): number {
    return readInt64(this.bytes, AT.producerId);
  }

  get producerEpoch(): number {
    return this.bytes.readInt16BE(AT.producerEpoch);
  }

  get baseSequence(): number {
    return this.bytes.readInt32BE(AT.baseSequence);
  }

  get count(): number {
    return this.bytes.readInt32BE(AT.count);
  }

  /** The records as stored, compressed with `codec`. */
  get payload(): Buffer {
    return this.bytes.subarray(HEADER_SIZE);
  }

  get hasValidChecksum(): boolean {
    return this.bytes.readUInt32BE(AT.crc) === crc32c(this.bytes, AT.attributes);
  }

  /** Sets the place of the batch in the log. */
  assign(baseOffset: number): void {
    writeInt64(this.bytes, baseOffset, AT.baseOffset);
    this.bytes.writeInt32BE(LEADER_EPOCH, AT.leaderEpoch);
  }

  /** This batch with other records. Keeps offsets, timestamps and the producer's sequence, as compaction requires. */
  withRecords(payload: Buffer, count: number, codec: number): RecordBatch {
    const bytes = Buffer.concat([this.bytes.subarray(0, HEADER_SIZE), payload]);
    bytes.writeInt32BE(bytes.length - LENGTH_PREFIX, AT.length);
    bytes.writeInt32BE(count, AT.count);
    bytes.writeInt16BE((this.attributes & ~CODEC) | codec, AT.attributes);
    bytes.writeUInt32BE(crc32c(bytes, AT.attributes), AT.crc);
    return new RecordBatch(bytes);
  }
}

/** The total size of the batch at `at`, or undefined when there is no batch header. */
export function batchSizeAt(buffer: Buffer, at: number): number | undefined {
  if (buffer.length - at < LENGTH_PREFIX) return undefined;
  const size = LENGTH_PREFIX + buffer.readInt32BE(at + AT.length);
  return size < HEADER_SIZE ? undefined : size;
}

/**
 * Validates the records of one partition in a Produce request, as Apache Kafka's ProduceRequest and LogValidator do.
 * @throws KafkaError with the code for that partition.
 */
export function parseProduced(bytes: Buffer | null, maxBytes: number, produceVersion: number): RecordBatch {
  if (bytes === null || bytes.length === 0) throw new KafkaError(ErrorCode.INVALID_RECORD, "no record batch");
  if (bytes.length > AT.magic && bytes.readInt8(AT.magic) !== 2) {
    throw new KafkaError(ErrorCode.INVALID_RECORD, "only record batches of format v2 are accepted");
  }
  const size = batchSizeAt(bytes, 0);
  if (size === undefined || size > bytes.length) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
  if (size < bytes.length) throw new KafkaError(ErrorCode.INVALID_RECORD, "more than one record batch");
  if (size > maxBytes) {
    throw new KafkaError(
      ErrorCode.MESSAGE_TOO_LARGE,
      `a batch of ${size} bytes exceeds max.message.bytes ${maxBytes}`,
    );
  }
  const batch = new RecordBatch(bytes);
  if (!batch.hasValidChecksum) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
  if (batch.count <= 0 || batch.lastOffsetDelta !== batch.count - 1) {
    throw new KafkaError(
      ErrorCode.INVALID_RECORD,
      `${batch.count} records up to offset +${batch.lastOffsetDelta}`,
    );
  }
  if (batch.isControl) {
    throw new KafkaError(ErrorCode.INVALID_RECORD, "control batches are written by brokers only");
  }
  if (batch.isTransactional) {
    throw new KafkaError(ErrorCode.INVALID_TXN_STATE, "transactions are not supported");
  }
  if (batch.codec > Codec.zstd || (batch.codec === Codec.zstd && produceVersion < 7)) {
    throw new KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE);
  }
  if (batch.producerId >= 0 && (batch.producerEpoch < 0 || batch.baseSequence < 0)) {
    throw new KafkaError(ErrorCode.INVALID_RECORD, "a producer id without epoch and sequence");
  }
  return batch;
}
