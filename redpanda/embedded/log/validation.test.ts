import { describe, expect, test } from "bun:test";
import { ErrorCode, KafkaError } from "../errors.ts";
import { batchOf } from "../testing/batches.ts";
import { parseTopicConfig, type TopicConfig } from "../topics/config.ts";
import { RecordBatch } from "./batch.ts";
import { Codec, MAX_DECOMPRESSED_BYTES } from "./codecs.ts";
import { crc32c } from "./crc32c.ts";
import { parseProduced, validateRecords } from "./validation.ts";

const MAX_BYTES = 1_000_000;

function accept(bytes: Buffer | null, limits: TopicConfig, version: number, now?: number): RecordBatch {
  const batch = parseProduced(bytes, limits.maxMessageBytes, version);
  validateRecords(batch, limits, now);
  return batch;
}

const LIMITS = parseTopicConfig({ "max.message.bytes": String(MAX_BYTES) });

describe("a produced batch is refused", () => {
  const refusals: [reason: string, make: () => Buffer | null, code: ErrorCode][] = [
    ["when it is missing", () => null, ErrorCode.INVALID_RECORD],
    ["when it is empty", () => Buffer.alloc(0), ErrorCode.INVALID_RECORD],
    ["when it is cut short", () => batchOf(["a"]).bytes.subarray(0, -1), ErrorCode.INVALID_RECORD],
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
      "with an unknown codec",
      () => resealed((bytes) => bytes.writeInt16BE(7, 21)),
      ErrorCode.UNKNOWN_SERVER_ERROR,
    ],
    ["when it is too large", () => batchOf(["x".repeat(MAX_BYTES)]).bytes, ErrorCode.MESSAGE_TOO_LARGE],
  ];

  test.each(refusals)("%s", (_reason, make, code) => {
    expect(codeOf(() => accept(make(), LIMITS, 9))).toBe(code);
  });

  test("with zstd in a Produce version before zstd", () => {
    const { bytes } = batchOf(["a"], { codec: Codec.zstd });
    expect(codeOf(() => accept(bytes, LIMITS, 6))).toBe(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE);
    expect(accept(bytes, LIMITS, 7).codec).toBe(Codec.zstd);
  });

  test("without a key on a compacted topic, with any codec", () => {
    for (const codec of Object.values(Codec)) {
      const { bytes } = batchOf([{ key: "k" }, { key: null }], { codec });
      expect(codeOf(() => accept(bytes, { ...LIMITS, compact: true }, 9))).toBe(ErrorCode.INVALID_RECORD);
      expect(accept(bytes, LIMITS, 9).count).toBe(2);
    }
  });

  test("when a timestamp is too early or too late for the topic", () => {
    const limits = parseTopicConfig({
      "message.timestamp.before.max.ms": "10",
      "message.timestamp.after.max.ms": "20",
    });
    const codeAt = (timestamp: number) =>
      codeOf(() => accept(batchOf([{ timestamp: 1_000 }, { timestamp }]).bytes, limits, 9, 1_000));
    expect([989, 990, 1_020, 1_021].map(codeAt)).toEqual([
      ErrorCode.INVALID_TIMESTAMP,
      undefined,
      undefined,
      ErrorCode.INVALID_TIMESTAMP,
    ]);
  });

  test("when it decompresses to more than the bound", async () => {
    const { bytes } = batchOf(["x".repeat(MAX_DECOMPRESSED_BYTES)], { codec: Codec.gzip });
    const batch = parseProduced(bytes, MAX_BYTES, 9);
    await expect(validateRecords(batch, LIMITS)).rejects.toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
  });
});

test("a largest timestamp that no record has, and LogAppendTime, are corrected, with the checksum", () => {
  const bytes = resealed((changing) => {
    changing.writeBigInt64BE(2n ** 60n, 35);
    changing.writeInt16BE(0x08, 21);
  });
  const batch = accept(bytes, LIMITS, 9);
  expect([batch.maxTimestamp, batch.attributes, batch.hasValidChecksum]).toEqual([1_000, 0, true]);
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
