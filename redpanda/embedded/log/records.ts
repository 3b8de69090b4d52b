/**
 * The records inside a batch. Only timestamp lookup and compaction read them.
 * Source: https://kafka.apache.org/documentation/#record
 *
 * gzip and zstd are decompressed with Bun's own codecs. Batches with snappy and lz4 are left as they are.
 */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { Reader } from "../wire/reader.ts";
import { Codec, type RecordBatch } from "./batch.ts";

export interface LogRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  /** Null makes the record a tombstone: on a compacted topic it deletes its key. */
  readonly value: Buffer | null;
  /** The encoded record, length included. */
  readonly raw: Buffer;
}

/** A larger batch is not decompressed, so that a small input cannot exhaust the memory. */
const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024;

/** The records of a batch in order, or undefined when the codec is not supported or the content is invalid. */
export function recordsOf(batch: RecordBatch): LogRecord[] | undefined {
  try {
    const payload = decompress(batch.codec, batch.payload);
    return payload && [...parse(batch, payload)];
  } catch {
    return undefined;
  }
}

/** Encodes records as the payload of a batch with this codec. */
export function payloadOf(codec: number, records: readonly LogRecord[]): Buffer {
  const plain = Buffer.concat(records.map(({ raw }) => raw));
  if (codec === Codec.gzip) return gzipSync(plain);
  return codec === Codec.zstd ? zstdCompressSync(plain) : plain;
}

function decompress(codec: number, payload: Buffer): Buffer | undefined {
  const limits = { maxOutputLength: MAX_DECOMPRESSED_BYTES };
  if (codec === Codec.none) return payload;
  if (codec === Codec.gzip) return gunzipSync(payload, limits);
  return codec === Codec.zstd ? zstdDecompressSync(payload, limits) : undefined;
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
