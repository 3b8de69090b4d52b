/** Record batches as clients build them. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { RecordBatch, TRANSACTIONAL } from "../log/batch.ts";
import { Codec } from "../log/codecs.ts";
import { crc32c } from "../log/crc32c.ts";
import { recordsOf } from "../log/records.ts";
import { Writer } from "../wire/writer.ts";

export interface RecordSpec {
  readonly key?: string | null;
  readonly value?: string | null;
  readonly timestamp?: number;
}

export interface BatchSpec {
  readonly producerId?: number;
  readonly epoch?: number;
  readonly sequence?: number;
  readonly codec?: number;
  readonly transactional?: boolean;
}

/** A batch of these records; a string is a value without a key. */
export function batchOf(records: readonly (string | RecordSpec)[], spec: BatchSpec = {}): RecordBatch {
  const specs = records.map((record) => (typeof record === "string" ? { value: record } : record));
  const base = specs[0]?.timestamp ?? 1_000;
  const payload = Buffer.concat(specs.map((record, index) => encode(record, index, base)));
  const stored = compress(spec.codec ?? Codec.none, payload);
  const timestamps = specs.map(({ timestamp }) => timestamp ?? base);
  const tail = new Writer(false)
    .int16((spec.codec ?? Codec.none) | (spec.transactional ? TRANSACTIONAL : 0))
    .int32(specs.length - 1)
    .int64(base)
    .int64(Math.max(...timestamps))
    .int64(spec.producerId ?? -1)
    .int16(spec.epoch ?? -1)
    .int32(spec.sequence ?? -1)
    .int32(specs.length)
    .raw(stored)
    .finish();
  const crc = crc32c(tail);
  const head = new Writer(false)
    .int64(0)
    .int32(9 + tail.length)
    .int32(-1)
    .int8(2)
    .int32(crc | 0);
  return new RecordBatch(Buffer.concat([head.finish(), tail]));
}

/** `offset:key=value` of every record in a buffer of complete batches. */
export function textsIn(buffer: Buffer): string[] {
  const texts: string[] = [];
  for (const batch of batchesIn(buffer)) {
    for (const { offset, key, value } of recordsOf(batch) ?? []) {
      texts.push(`${offset}:${key ?? ""}=${value ?? ""}`);
    }
  }
  return texts;
}

export function batchesIn(buffer: Buffer): RecordBatch[] {
  const batches: RecordBatch[] = [];
  for (let at = 0; at < buffer.length; ) {
    const size = 12 + buffer.readInt32BE(at + 8);
    batches.push(new RecordBatch(buffer.subarray(at, at + size)));
    at += size;
  }
  return batches;
}

/** Snappy and LZ4 allow data that are not compressed: one literal, one plain block. */
function compress(codec: number, payload: Buffer): Buffer {
  if (codec === Codec.gzip) return gzipSync(payload);
  if (codec === Codec.zstd) return zstdCompressSync(payload);
  const size = Buffer.alloc(4);
  if (codec === Codec.snappy) {
    size.writeUInt32LE(payload.length - 1);
    const length = new Writer(false).unsignedVarint(payload.length).finish();
    const literalOfFourLengthBytes = Buffer.from([63 << 2]);
    return Buffer.concat([length, literalOfFourLengthBytes, size, payload]);
  }
  if (codec === Codec.lz4) {
    size.writeUInt32LE(payload.length + 0x8000_0000);
    return Buffer.concat([Buffer.from("04224d18607073", "hex"), size, payload, Buffer.alloc(4)]);
  }
  return payload;
}

function encode({ key = null, value = null, timestamp }: RecordSpec, index: number, base: number): Buffer {
  const body = new Writer(false)
    .int8(0)
    .varint((timestamp ?? base) - base)
    .varint(index);
  for (const field of [key, value]) {
    if (field === null) body.varint(-1);
    else body.varint(Buffer.byteLength(field)).raw(Buffer.from(field));
  }
  body.varint(0); // no headers
  const record = body.finish();
  return new Writer(false).varint(record.length).raw(record).finish();
}
