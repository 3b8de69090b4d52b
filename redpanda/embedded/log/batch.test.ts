import { expect, test } from "bun:test";
import { batchOf } from "../testing/batches.ts";
import { Codec } from "./codecs.ts";
import { crc32c } from "./crc32c.ts";
import { recordsOf, withRecords } from "./records.ts";

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
  async (codec) => {
    const batch = batchOf(["a", "b", "c"], { codec });
    batch.assign(10);
    const kept = recordsOf(batch)?.slice(1, 2) ?? [];
    const smaller = await withRecords(batch, kept);
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
