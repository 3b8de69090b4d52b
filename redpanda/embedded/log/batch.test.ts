import { describe, expect, test } from "bun:test";
import { ErrorCode, KafkaError } from "../errors.ts";
import { batchOf } from "../testing/batches.ts";
import { parseProduced, RecordBatch } from "./batch.ts";
import { Codec } from "./codecs.ts";
import { crc32c } from "./crc32c.ts";
import { recordsOf, withRecords } from "./records.ts";

const MAX_BYTES = 1_000_000;

test("crc32c matches RFC 3720, appendix B.4", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
  expect(crc32c(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))).toBe(0x46dd794e);
});

test("assigning an offset keeps the checksum valid", () => {
  const batch = batchOf(["a", "b", "c"]);
  batch.assign(5_000_000_000);
  expect([batch.baseOffset, batch.lastOffset, batch.hasValidChecksum]).toEqual([
    5_000_000_000,
    5_000_000_002,
    true,
  ]);
});

test.each([Codec.none, Codec.gzip])("reads the records of a batch with codec %d", (codec) => {
  const batch = batchOf([{ key: "k", value: "v", timestamp: 10 }, { timestamp: 7 }], { codec });
  batch.assign(100);
  const seen = recordsOf(batch)?.map(({ offset, timestamp, key, value }) => ({
    offset,
    timestamp,
    key: key?.toString(),
    value: value?.toString(),
  }));
  expect(seen).toEqual([
    { offset: 100, timestamp: 10, key: "k", value: "v" },
    { offset: 101, timestamp: 7, key: undefined, value: undefined },
  ]);
});

test.each([Codec.none, Codec.gzip, Codec.zstd])(
  "a batch with codec %d keeps the offsets of the remaining records",
  (codec) => {
    const batch = batchOf(["a", "b", "c"], { codec });
    batch.assign(10);
    const kept = recordsOf(batch)?.slice(1, 2) ?? [];
    const smaller = withRecords(batch, kept);
    expect(smaller.codec).toBe(codec);
    expect([smaller.baseOffset, smaller.lastOffset, smaller.count, smaller.hasValidChecksum]).toEqual([
      10,
      12,
      1,
      true,
    ]);
    expect(recordsOf(smaller)?.map(({ offset, value }) => `${offset}:${value}`)).toEqual(["11:b"]);
  },
);

test("unreadable records are reported as undefined", () => {
  const batch = batchOf(["a"]);
  expect(recordsOf(batch.withRecords(batch.payload, 1, Codec.lz4))).toBeUndefined();
  expect(recordsOf(batch.withRecords(Buffer.from("not gzip"), 1, Codec.gzip))).toBeUndefined();
  expect(recordsOf(batch.withRecords(Buffer.from([200, 1, 2]), 1, Codec.none))).toBeUndefined();
});

describe("a produced batch is refused", () => {
  const refusals: [reason: string, make: () => Buffer | null, code: ErrorCode][] = [
    ["when it is missing", () => null, ErrorCode.INVALID_RECORD],
    ["when it is empty", () => Buffer.alloc(0), ErrorCode.INVALID_RECORD],
    ["when it is cut short", () => batchOf(["a"]).bytes.subarray(0, -1), ErrorCode.CORRUPT_MESSAGE],
    [
      "when a bit is flipped",
      () => changed((bytes) => bytes.writeUInt8(bytes.readUInt8(65) ^ 1, 65)),
      ErrorCode.CORRUPT_MESSAGE,
    ],
    [
      "when its length is negative",
      () => changed((bytes) => bytes.writeInt32BE(-5, 8)),
      ErrorCode.CORRUPT_MESSAGE,
    ],
    ["in an older format", () => changed((bytes) => bytes.writeInt8(1, 16)), ErrorCode.INVALID_RECORD],
    [
      "when it is not alone",
      () => Buffer.concat([batchOf(["a"]).bytes, batchOf(["b"]).bytes]),
      ErrorCode.INVALID_RECORD,
    ],
    [
      "when its count is wrong",
      () => resealed((bytes) => bytes.writeInt32BE(2, 57)),
      ErrorCode.INVALID_RECORD,
    ],
    [
      "when it has no records",
      () => resealed((bytes) => bytes.writeInt32BE(0, 57)),
      ErrorCode.INVALID_RECORD,
    ],
    [
      "when it is a control batch",
      () => resealed((bytes) => bytes.writeInt16BE(0x20, 21)),
      ErrorCode.INVALID_RECORD,
    ],
    [
      "when it is transactional",
      () => resealed((bytes) => bytes.writeInt16BE(0x10, 21)),
      ErrorCode.INVALID_TXN_STATE,
    ],
    [
      "with an unknown codec",
      () => resealed((bytes) => bytes.writeInt16BE(7, 21)),
      ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    ],
    ["when it is too large", () => batchOf(["x".repeat(MAX_BYTES)]).bytes, ErrorCode.MESSAGE_TOO_LARGE],
  ];

  test.each(refusals)("%s", (_reason, make, code) => {
    expect(codeOf(() => parseProduced(make(), MAX_BYTES, 9))).toBe(code);
  });

  test("with zstd in a Produce version before zstd", () => {
    const batch = batchOf(["a"]).withRecords(Buffer.from("?"), 1, Codec.zstd);
    expect(codeOf(() => parseProduced(batch.bytes, MAX_BYTES, 6))).toBe(
      ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    );
    expect(parseProduced(batch.bytes, MAX_BYTES, 7).codec).toBe(Codec.zstd);
  });
});

function changed(change: (bytes: Buffer) => void): Buffer {
  const { bytes } = batchOf(["a"]);
  change(bytes);
  return bytes;
}

/** As `changed`, with a valid checksum. */
function resealed(change: (bytes: Buffer) => void): Buffer {
  const bytes = changed(change);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return new RecordBatch(bytes).bytes;
}

function codeOf(act: () => unknown): ErrorCode | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof KafkaError ? error.code : undefined;
  }
}
