/**
 * Record batches, message format v2: the unit in which records are sent, stored and read. A batch is stored as the
 * client sent it; the broker sets only the base offset and the leader epoch, which the checksum does not cover, and
 * corrects a largest timestamp that is wrong.
 * Source: https://kafka.apache.org/documentation/#recordbatch
 */

import { readInt64, writeInt64 } from "../wire/int64.ts";
import { crc32c } from "./crc32c.ts";

/** The leader never changes: nothing is replicated. */
export const LEADER_EPOCH = 0;

/** Byte positions in a batch. */
export const AT = {
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
export const LENGTH_PREFIX = 12;
export const HEADER_SIZE = 61;

/** Bits of the attributes. */
const CODEC = 0x07;
const LOG_APPEND_TIME = 0x08;
export const TRANSACTIONAL = 0x10;
export const CONTROL = 0x20;

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

  /** As it is stored. */
  get checksum(): number {
    return this.bytes.readUInt32BE(AT.crc);
  }

  get hasValidChecksum(): boolean {
    return this.checksum === crc32c(this.bytes, AT.attributes);
  }

  /** Sets the place of the batch in the log. */
  assign(baseOffset: number): void {
    writeInt64(this.bytes, baseOffset, AT.baseOffset);
    this.bytes.writeInt32BE(LEADER_EPOCH, AT.leaderEpoch);
  }

  /** Sets the largest timestamp and CreateTime, which is the only timestamp type, and then the checksum, if needed. */
  correctTimestamps(largest: number): void {
    if (this.maxTimestamp === largest && (this.attributes & LOG_APPEND_TIME) === 0) return;
    writeInt64(this.bytes, largest, AT.maxTimestamp);
    this.bytes.writeInt16BE(this.attributes & ~LOG_APPEND_TIME, AT.attributes);
    this.bytes.writeUInt32BE(crc32c(this.bytes, AT.attributes), AT.crc);
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

/** The complete batches before the first one at or after `end`. */
export function batchesBelow(buffer: Buffer, end: number): Buffer {
  let at = 0;
  for (let size = batchSizeAt(buffer, at); size !== undefined; size = batchSizeAt(buffer, at)) {
    if (readInt64(buffer, at + AT.baseOffset) >= end) break;
    at += size;
  }
  return buffer.subarray(0, at);
}

/** The offset after the last of these complete batches; 0 without one. */
export function endOfBatches(buffer: Buffer): number {
  let end = 0;
  let at = 0;
  for (let size = batchSizeAt(buffer, at); size !== undefined; size = batchSizeAt(buffer, at)) {
    end = new RecordBatch(buffer.subarray(at, at + size)).lastOffset + 1;
    at += size;
  }
  return end;
}
