import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import type { KafkaMessage } from "kafkajs";
import { rawBatch, rawRecord } from "../../conformance/raw.ts";
import { AT } from "./batch.ts";
import { decompress, MAX_DECOMPRESSED_BYTES } from "./codecs.ts";
import { toRecord } from "./consumer.ts";
import { decodeBatches } from "./fetch.ts";

const records = (...values: string[]) =>
  Buffer.concat(values.map((value, index) => rawRecord(index, null, Buffer.from(value))));
const at = (offset: number, batch: Buffer) => {
  batch.writeBigInt64BE(BigInt(offset), 0);
  return batch;
};
const good = (offset: number, ...values: string[]) => at(offset, rawBatch(values.length, records(...values)));
const atOffsets = (...deltas: number[]) =>
  rawBatch(deltas.length, Buffer.concat(deltas.map((delta) => rawRecord(delta, null, null))));
/** Three records, of which the first one says that it has more bytes than it has. */
function lengthened(more: number): Buffer {
  const all = records("a", "b", "c");
  all.writeUInt8(all.readUInt8(0) + 2 * more, 0);
  return rawBatch(3, all);
}
const valuesOf = (set: Buffer) =>
  decodeBatches(set, 0).map(({ offset, value, undecodable }) =>
    undecodable === undefined ? `${offset}:${value}` : { ...undecodable, bytes: undecodable.bytes.length },
  );

test("plain snappy, as some clients send it, is decompressed", () => {
  // Its length, "abc", and copies of what is three bytes before: with one byte, two and four bytes of offset.
  const data = Buffer.from([
    ...[20, 0x08, 0x61, 0x62, 0x63],
    ...[0x05, 3],
    ...[0x12, 3, 0],
    ...[0x1b, 3, 0, 0, 0],
  ]);
  expect(decompress(2, data).toString()).toBe("abcabcabcabcabcabcab");
  const literal = Buffer.alloc(300, "x");
  expect(decompress(2, Buffer.concat([Buffer.from([0xac, 2, 61 << 2, 0x2b, 1]), literal]))).toEqual(literal);
});

test("batches are decoded one after the other; an incomplete one at the end is left out", () => {
  const set = Buffer.concat([good(0, "a", "b"), good(2, "c"), good(3, "d").subarray(0, -1)]);
  expect(valuesOf(set)).toEqual(["0:a", "1:b", "2:c"]);
  const batch = good(0, "a");
  for (let length = 0; length < batch.length; length++)
    expect(valuesOf(batch.subarray(0, length))).toEqual([]);
});

const damaged: [string, Buffer, string][] = [
  ["an unknown codec", rawBatch(3, records("a", "b", "c"), 5), "the compression codec 5 is unknown"],
  ["damaged gzip", rawBatch(3, gzipSync(records("a", "b", "c")).subarray(0, -9), 1), ""],
  ["damaged snappy", rawBatch(3, Buffer.from([9, 0x00, 0x61]), 2), "the snappy data are incomplete"],
  ["damaged lz4", rawBatch(3, Buffer.from("not lz4"), 3), "not an LZ4 frame"],
  ["damaged zstd", rawBatch(3, Buffer.from("not zstd"), 4), ""],
  ["too few records", rawBatch(3, records("a", "b")), "a length of 1 is wrong"],
  ["too many records", rawBatch(3, records("a", "b", "c", "d")), "offset"],
  ["a record that is longer than the batch", rawBatch(3, Buffer.from([0x7e, 0, 0])), "is wrong"],
  ["records that are not in the order of their offsets", atOffsets(1, 0, 2), "record 1 has the offset 5"],
  ["a record that is shorter than its length", lengthened(1), "a part ends at"],
  ["a record that is longer than its length", lengthened(-1), "a part ends at"],
  ["two records at one offset", atOffsets(0, 0, 2), "record 1 has the offset 5"],
  ["the message format 1", Buffer.from(rawBatch(3, records("a", "b", "c"))).fill(1, 16, 17), "format 1"],
];

test.each(damaged)("%s: what is before is decoded, the batch is given as it is stored", (_, batch, cause) => {
  const set = Buffer.concat([good(4, "x"), at(5, batch), good(8, "y")]);
  const isOld = batch.readInt8(16) !== 2;
  expect(valuesOf(set)).toEqual([
    "4:x",
    {
      offset: 5,
      lastOffset: isOld ? 5 : 7,
      bytes: batch.length,
      cause:
        cause === "too many records"
          ? expect.anything()
          : expect.stringContaining(cause === "offset" ? "" : cause),
    },
  ]);
});

test("a header may have the name of a property that every object has", () => {
  const headers = ["constructor", "__proto__"].map((name) => [Buffer.from(name), Buffer.from("x")] as const);
  const [message] = decodeBatches(rawBatch(1, rawRecord(0, null, null, headers)), 0);
  // kafkajs passes messages on as they are decoded.
  const record = toRecord("letters", 0, message as unknown as KafkaMessage);
  expect(Object.entries(record.headers)).toEqual([
    ["constructor", "x"],
    ["__proto__", "x"],
  ]);
  expect(record.exact).toBeUndefined();
});

test("a record has the time of its batch and what it adds to that, or the time at which the broker appended it", () => {
  const firstMs = 1_764_000_000_000;
  const timeOf = (delta: readonly number[], attributes = 0) => {
    const body = [0, ...delta, 0, 1, 1, 0];
    const batch = rawBatch(1, Buffer.from([body.length * 2, ...body]), attributes);
    batch.writeBigInt64BE(BigInt(firstMs), AT.firstTimestamp);
    batch.writeBigInt64BE(7n, AT.maxTimestamp);
    return decodeBatches(batch, 0)[0]?.timestampMs;
  };
  expect(timeOf([0])).toBe(firstMs);
  expect(timeOf([1])).toBe(firstMs - 1);
  expect(timeOf([0xfe, 0x01])).toBe(firstMs + 127);
  expect(timeOf([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])).toBe(firstMs - 2 ** 42);
  expect(timeOf([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])).toBe(firstMs + 2 ** 42 - 1);
  expect(timeOf([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])).toBe(firstMs - 2 ** 63);
  expect(timeOf([0], 0x08)).toBe(7);
});

test("a small batch that decompresses to more than fits in memory is not decoded", () => {
  const bomb = gzipSync(Buffer.alloc(MAX_DECOMPRESSED_BYTES + 1));
  expect(bomb.length).toBeLessThan(1_000_000);
  expect(valuesOf(at(0, rawBatch(1, bomb, 1)))).toMatchObject([{ offset: 0, lastOffset: 0 }]);
});

test("a batch without records, as compaction leaves it, is passed over", () => {
  expect(decodeBatches(at(3, rawBatch(0, Buffer.alloc(0))), 0)).toMatchObject([
    { offset: "3", isControlRecord: true },
  ]);
});

test("any bytes are decoded or given as undecodable, and never throw", () => {
  let seed = 1;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % limit;
  };
  let undecodable = 0;
  for (let round = 0; round < 20_000; round++) {
    const codec = random(8);
    const payload = Buffer.from(Array.from({ length: random(80) }, () => random(256)));
    const batch = random(2) === 0 ? rawBatch(1 + random(4), payload, codec) : good(0, "a", "b", "c");
    for (let flips = random(4); flips > 0; flips--) batch[random(batch.length)] = random(256);
    for (const message of decodeBatches(batch, 0)) if (message.undecodable !== undefined) undecodable += 1;
  }
  expect(undecodable).toBeGreaterThan(5_000);
});
