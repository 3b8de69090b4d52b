/**
 * What is checked before a batch of a Produce request is stored, with the error codes of Apache Kafka 4.1
 * (ProduceRequest, UnifiedLog, LogValidator, DefaultRecord). `e2e/batches` compares both brokers.
 */
import { setImmediate } from "node:timers/promises";
import { ErrorCode, KafkaError } from "../errors.ts";
import type { TopicConfig } from "../topics/config.ts";
import { Reader, WireError } from "../wire/reader.ts";
import { AT, HEADER_SIZE, LENGTH_PREFIX, RecordBatch } from "./batch.ts";
import {
  Codec,
  decompressLarge,
  decompressSmall,
  hasZstd,
  oneAfterTheOther,
  STEP_RECORDS,
  TooLarge,
} from "./codecs.ts";

type Limits = Pick<TopicConfig, "compact" | "messageTimestampBeforeMaxMs" | "messageTimestampAfterMaxMs">;

const MAGIC = 2;
/** The smallest length field of any format. */
const SMALLEST_LENGTH = 14;
const MAX_VARINT_BYTES = 5;
const NO_TIMESTAMP = -1;

const invalid = (message: string) => new KafkaError(ErrorCode.INVALID_RECORD, message);

/** The one batch in the records of a partition. @throws KafkaError with the code for that partition. */
export function parseProduced(bytes: Buffer | null, maxBytes: number, produceVersion: number): RecordBatch {
  const records = bytes ?? Buffer.alloc(0);
  const batch = batchAt(records, 0);
  if (!batch) throw invalid("no complete record batch");
  if (batch.magic !== MAGIC) throw invalid("only record batches of format v2 are accepted");
  if (batch.codec === Codec.zstd && (produceVersion < 7 || !hasZstd)) {
    throw new KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE);
  }
  // Bytes after it that are no complete batch are ignored.
  if (batchAt(records, batch.bytes.length)) throw invalid("more than one record batch");
  if (batch.baseOffset !== 0) throw invalid(`the base offset is ${batch.baseOffset}, not 0`);
  if (batch.bytes.length > maxBytes) {
    const message = `a batch of ${batch.bytes.length} bytes exceeds max.message.bytes ${maxBytes}`;
    throw new KafkaError(ErrorCode.MESSAGE_TOO_LARGE, message);
  }
  if (!batch.hasValidChecksum) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
  if (batch.codec > Codec.zstd) throw new KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, "an unknown codec");
  if (batch.count <= 0 || batch.lastOffsetDelta !== batch.count - 1) {
    throw invalid(`${batch.count} records up to offset +${batch.lastOffsetDelta}`);
  }
  if (batch.isControl) throw invalid("control batches are written by brokers only");
  if (batch.producerId >= 0 && (batch.producerEpoch < 0 || batch.baseSequence < 0)) {
    throw invalid("a producer id without epoch and sequence");
  }
  return batch;
}

/** Undefined when it is not complete. @throws KafkaError CORRUPT_MESSAGE */
function batchAt(bytes: Buffer, at: number): RecordBatch | undefined {
  const remaining = bytes.length - at;
  if (remaining < LENGTH_PREFIX) return undefined;
  const length = bytes.readInt32BE(at + AT.length);
  if (length < SMALLEST_LENGTH) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
  if (remaining <= AT.magic) return undefined;
  const batch = new RecordBatch(bytes.subarray(at, at + LENGTH_PREFIX + length));
  if (batch.magic < 0 || batch.magic > MAGIC) throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
  if (batch.bytes.length < LENGTH_PREFIX + length) return undefined;
  if (batch.magic === MAGIC && batch.bytes.length < HEADER_SIZE)
    throw new KafkaError(ErrorCode.CORRUPT_MESSAGE);
  return batch;
}

/**
 * Compares the records of a batch with its header and with the limits of the topic. A largest timestamp in the header
 * that no record has is corrected.
 * @returns undefined when it is done; for a large batch, a promise, so that other work can run
 * @throws KafkaError with the code for that partition; the promise rejects with it.
 */
export function validateRecords(
  batch: RecordBatch,
  limits: Limits,
  now = Date.now(),
): Promise<void> | undefined {
  const records = smallRecordsIn(batch);
  if (!records) return oneAfterTheOther(() => validateLarge(batch, limits, now));
  const steps = compare(batch, records, limits, now);
  while (!steps.next().done);
  return undefined;
}

async function validateLarge(batch: RecordBatch, limits: Limits, now: number): Promise<void> {
  const records = await decompressLarge(batch.codec, batch.payload).catch(refuseRecords);
  const steps = compare(batch, records, limits, now);
  while (!steps.next().done) await setImmediate();
}

/** Pauses after each STEP_RECORDS. @throws KafkaError */
function* compare(batch: RecordBatch, records: Buffer, limits: Limits, now: number): Generator<void> {
  const { count, baseTimestamp, codec } = batch;
  const earliest = now - limits.messageTimestampBeforeMaxMs;
  const latest = now + limits.messageTimestampAfterMaxMs;
  const reader = new Reader(records);
  let largest = NO_TIMESTAMP;
  for (let index = 0; index < count; index++) {
    if (index > 0 && index % STEP_RECORDS === 0) yield;
    const end = endOfRecord(reader);
    const { timestampDelta, offsetDelta, hasKey } = readRecord(reader);
    if (reader.position !== end) throw invalid(`record ${index} has another size than it says`);
    if (offsetDelta !== index) {
      // Apache Kafka stores such records if they are not compressed. Lookups and compaction would be wrong here.
      const code = codec === Codec.none ? ErrorCode.INVALID_RECORD : ErrorCode.UNKNOWN_SERVER_ERROR;
      throw new KafkaError(code, `record ${index} has offset +${offsetDelta}`);
    }
    if (limits.compact && !hasKey) throw invalid("a record of a compacted topic needs a key");
    const timestamp = baseTimestamp + timestampDelta;
    if (timestamp !== NO_TIMESTAMP && (timestamp < earliest || timestamp > latest)) {
      throw new KafkaError(ErrorCode.INVALID_TIMESTAMP, `record ${index} has timestamp ${timestamp}`);
    }
    largest = Math.max(largest, timestamp);
  }
  if (reader.remaining > 0) throw invalid(`${reader.remaining} bytes after ${count} records`);
  batch.correctTimestamps(largest);
}

/** Undefined when they are large. */
function smallRecordsIn({ codec, payload }: RecordBatch): Buffer | undefined {
  try {
    return decompressSmall(codec, payload);
  } catch (error) {
    return refuseRecords(error);
  }
}

function refuseRecords(error: unknown): never {
  const code = error instanceof TooLarge ? ErrorCode.MESSAGE_TOO_LARGE : ErrorCode.UNKNOWN_SERVER_ERROR;
  throw new KafkaError(code, error instanceof Error ? error.message : undefined);
}

function endOfRecord(reader: Reader): number {
  const { remaining } = reader;
  try {
    const size = reader.varint();
    return reader.position + size;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const code = remaining < MAX_VARINT_BYTES ? ErrorCode.INVALID_RECORD : ErrorCode.UNKNOWN_SERVER_ERROR;
    throw new KafkaError(code, error.message);
  }
}

function readRecord(reader: Reader): { timestampDelta: number; offsetDelta: number; hasKey: boolean } {
  try {
    reader.skip(1); // attributes, unused
    const timestampDelta = reader.varlong();
    const offsetDelta = reader.varint();
    const hasKey = skipField(reader);
    skipField(reader);
    const headers = reader.varint();
    if (headers < 0 || headers > reader.remaining) throw invalid(`${headers} headers`);
    for (let header = 0; header < headers; header++) {
      if (!skipField(reader)) throw invalid("a header without a key");
      skipField(reader);
    }
    return { timestampDelta, offsetDelta, hasKey };
  } catch (error) {
    throw error instanceof WireError ? invalid(error.message) : error;
  }
}

/** @returns false when the field is null */
function skipField(reader: Reader): boolean {
  const length = reader.varint();
  if (length < 0) return false;
  reader.skip(length);
  return true;
}
