/**
 * The records inside a batch.
 * Source: https://kafka.apache.org/documentation/#record
 */
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { Reader } from "../wire/reader.ts";
import type { RecordBatch } from "./batch.ts";
import {
  Codec,
  decompress,
  decompressLarge,
  decompressSmall,
  oneAfterTheOther,
  SMALL_BYTES,
  STEP_RECORDS,
} from "./codecs.ts";

export interface LogRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  /** Null makes the record a tombstone: on a compacted topic it deletes its key. */
  readonly value: Buffer | null;
  /** The encoded record, length included. */
  readonly raw: Buffer;
}

/** The records of a batch in order, or undefined when the content is invalid or too large. */
export function recordsOf(batch: RecordBatch): LogRecord[] | undefined {
  try {
    return [...parse(batch, decompress(batch.codec, batch.payload))];
  } catch {
    return undefined;
  }
}

/** As `recordsOf`; other work runs while the records of a large batch are decompressed and read. */
export async function readRecords(batch: RecordBatch): Promise<LogRecord[] | undefined> {
  try {
    const small = decompressSmall(batch.codec, batch.payload);
    if (small) return [...parse(batch, small)];
    return await oneAfterTheOther(async () => {
      const records: LogRecord[] = [];
      for (const record of parse(batch, await decompressLarge(batch.codec, batch.payload))) {
        records.push(record);
        if (records.length % STEP_RECORDS === 0) await setImmediate();
      }
      return records;
    });
  } catch {
    return undefined;
  }
}

/**
 * The batch with these of its records. Snappy and LZ4 become gzip, which every client reads: the broker does not
 * compress in these codecs.
 */
export async function withRecords(batch: RecordBatch, records: readonly LogRecord[]): Promise<RecordBatch> {
  const plain = Buffer.concat(records.map(({ raw }) => raw));
  if (batch.codec === Codec.none) return batch.withRecords(plain, records.length, Codec.none);
  const isSmall = plain.length <= SMALL_BYTES;
  if (batch.codec === Codec.zstd) {
    const compressed = isSmall ? zlib.zstdCompressSync(plain) : await promisify(zlib.zstdCompress)(plain);
    return batch.withRecords(compressed, records.length, Codec.zstd);
  }
  const compressed = isSmall ? zlib.gzipSync(plain) : await promisify(zlib.gzip)(plain);
  return batch.withRecords(compressed, records.length, Codec.gzip);
}

function* parse(batch: RecordBatch, payload: Buffer): Generator<LogRecord> {
  const { baseOffset, baseTimestamp } = batch;
  const reader = new Reader(payload);
  while (reader.remaining > 0) {
    const start = reader.position;
    const length = reader.varint();
    const end = reader.position + length;
    reader.int8(); // attributes, unused
    const timestamp = baseTimestamp + reader.varlong();
    const offset = baseOffset + reader.varint();
    const key = readField(reader);
    const value = readField(reader);
    reader.raw(end - reader.position); // the headers
    yield { offset, timestamp, key, value, raw: payload.subarray(start, end) };
  }
}

function readField(reader: Reader): Buffer | null {
  const length = reader.varint();
  return length < 0 ? null : reader.raw(length);
}
