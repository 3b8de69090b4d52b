import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { RecordBatch } from "./batch.ts";
import { Codec, decompress, MAX_DECOMPRESSED_BYTES, TooLarge } from "./codecs.ts";
import { recordsOf } from "./records.ts";

/** Batches of the same 100 records, as librdkafka compresses them. */
const BATCHES = {
  snappy:
    "AAAAAAAAAAAAAAQsAAAAAAKtEpAZAAIAAABjAAABohR3q50AAAGiFHernf//////////////////AAAAZLofaEwAAAAKa2V5IDA2dmFsdWUgMCBvZiBtYW55LB0GEABMAAACBScAMQ0nADFeJwAABAUnADINJwAyXicAAAYFJwAzDScAM14nAAAIBScANA0nADReJwAACgUnADUNJwA1XicAAAwFJwA2DScANl4nAAAOBScANw0nYhEBABAFJwA4DSdiEQEAEgUnADkNJ1YRARBOAAAUDCGGADExh1YSAQxOAAAWCSgxiFYTAQxOAAAYCSgxiVYUAQxOAAAaCSgxilYVAQxOAAAcCSgxi1YWAQxOAAAeCSgxjFYXAQxOAAAgCSgxjWIYAQAiCSgxjmIYAQAkCSgxj2IYAQAmCSgxkGIYAQAoBSgAMjGQYhgBACoJKDGQYhgBACwJKDGQYhgBAC4JKDGQYhgBADAJKDGQYhgBADIJKDGQYhgBADQJKDGQYhgBADYJKDGQYhgBADgJKDGQYhgBADoJKDGQYhgBADwFKAAzMZBiGAEAPgkoMZBiGAEAQAkoMZBiGAEAQgkoMZBiGAEARAkoMZBiGAEARgkoMZBiGAEASAkoMZBiGAEASgkoMZBiGAEATAkoMZBiGAEATgkoMZBiGAEAUAUoADQxkGIYAQBSCSgxkGIYAQBUCSgxkGIYAQBWCSgxkGIYAQBYCSgxkGIYAQBaCSgxkGIYAQBcCSgxkGIYAQBeCSgxkGIYAQBgCSgxkGIYAQBiCSgxkGIYAQBkBSgANTGQYhgBAGYJKDGQYhgBAGgJKDGQYhgBAGoJKDGQYhgBAGwJKDGQYhgBAG4JKDGQYhgBAHAJKDGQYhgBAHIJKDGQYhgBAHQJKDGQYhgBAHYJKDGQYhgBAHgFKAA2MZBiGAEAegkoMZBiGAEAfAkoMZBiGAEAfgkoMZBWGAEQUAAAgAEJKTGRVhkBDFAAAIINKTGSVhoBDFAAAIQNKTGTVhsBDFAAAIYNKTGUVhwBDFAAAIgNKTGVVh0BDFAAAIoNKTGWVh4BDFAAAIwJKQA3MZdiHwEAjg0pMZhiHwEAkA0pMZliHwEAkg0pMZpiHwEAlA0pMZpiHwEAlg0pMZpiHwEAmA0pMZpiHwEAmg0pMZpiHwEAnA0pMZpiHwEAng0pMZpiHwEAoAkpADgxmmIfAQCiDSkxmmIfAQCkDSkxmmIfAQCmDSkxmmIfAQCoDSkxmmIfAQCqDSkxmmIfAQCsDSkxmmIfAQCuDSkxmmIfAQCwDSkxmmIfAQCyDSkxmmIfAQC0CSkAOTGaYh8BALYNKTGaYh8BALgNKTGaYh8BALoNKTGaYh8BALwNKTGaYh8BAL4NKTGaYh8BAMANKTGaYh8BAMINKTGaYh8BAMQNKTGaYh8BAMYNKTGaVh8B",
  lz4: "AAAAAAAAAAAAAATuAAAAAAJqqG2mAAMAAABjAAABohR3raAAAAGiFHetoP//////////////////AAAAZAQiTRhgQIKuBAAA9wxMAAAACmtleSAwNnZhbHVlIDAgb2YgbWFueSwGAFEATAAAAicAEzEnAB8xJwAFEQQnABMyJwAfMicABREGJwATMycAHzMnAAURCCcAEzQnAB80JwAFEQonABM1JwAfNScABREMJwATNicAHzYnAAURDicAEzcnAA8RAQYRECcAEzgnAA8RAQYREicAEzknAA8RAQNQTgAAFAyGARQxhwEPEgEDQk4AABYoAASIAQ8TAQNCTgAAGCgABIkBDxQBA0JOAAAaKAAEigEPFQEDQk4AABwoAASLAQ8WAQNCTgAAHigABIwBDxcBA0JOAAAgKAAEjQEPGAEGEiIoAASOAQ8YAQYSJCgABI8BDxgBBhImKAAEkAEPGAEGESgoABQykAEPGAEGEiooAASQAQ8YAQYSLCgABJABDxgBBhIuKAAEkAEPGAEGEjAoAASQAQ8YAQYSMigABJABDxgBBhI0KAAEkAEPGAEGEjYoAASQAQ8YAQYSOCgABJABDxgBBhI6KAAEkAEPGAEGETwoABQzkAEPGAEGEj4oAASQAQ8YAQYSQCgABJABDxgBBhJCKAAEkAEPGAEGEkQoAASQAQ8YAQYSRigABJABDxgBBhJIKAAEkAEPGAEGEkooAASQAQ8YAQYSTCgABJABDxgBBhJOKAAEkAEPGAEGEVAoABQ0kAEPGAEGElIoAASQAQ8YAQYSVCgABJABDxgBBhJWKAAEkAEPGAEGElgoAASQAQ8YAQYSWigABJABDxgBBhJcKAAEkAEPGAEGEl4oAASQAQ8YAQYSYCgABJABDxgBBhJiKAAEkAEPGAEGEWQoACM1MGgGDxgBBhJmKAAEkAEPGAEGEmgoAASQAQ8YAQYSaigABJABDxgBBhJsKAAEkAEPGAEGEm4oAASQAQ8YAQYScCgABJABDxgBBhJyKAAEkAEPGAEGEnQoAASQAQ8YAQYSdigABJABDxgBBhF4KAAUNpABDxgBBhJ6KAAEkAEPGAEGEnwoAASQAQ8YAQYSfigABJABDxgBA1JQAACAASkABJEBDxkBA0NQAACCKQAEkgEPGgEDQ1AAAIQpAASTAQ8bAQNDUAAAhikABJQBDxwBA0NQAACIKQAElQEPHQEDQ1AAAIopAASWAQ8eAQNCUAAAjCkAFDeXAQ8fAQYTjikABJgBDx8BBhOQKQAEmQEPHwEGE5IpAASaAQ8fAQYTlCkABJoBDx8BBhOWKQAEmgEPHwEGE5gpAASaAQ8fAQYTmikABJoBDx8BBhOcKQAEmgEPHwEGE54pAASaAQ8fAQYSoCkAFDiaAQ8fAQYToikABJoBDx8BBhOkKQAEmgEPHwEGE6YpAASaAQ8fAQYTqCkABJoBDx8BBhOqKQAEmgEPHwEGE6wpAASaAQ8fAQYTrikABJoBDx8BBhOwKQAEmgEPHwEGE7IpAASaAQ8fAQYStCkAFDmaAQ8fAQYTtikABJoBDx8BBhO4KQAEmgEPHwEGE7opAASaAQ8fAQYTvCkABJoBDx8BBhO+KQAEmgEPHwEGE8ApAASaAQ8fAQYTwikABJoBDx8BBhPEKQAEmgEPHwEGE8YpAASaAQ0fAVBtYW55AAAAAAA=",
};

test.each(["snappy", "lz4"] as const)("reads the records that librdkafka has compressed with %s", (codec) => {
  const batch = new RecordBatch(Buffer.from(BATCHES[codec], "base64"));
  expect([batch.codec, batch.hasValidChecksum]).toEqual([Codec[codec], true]);
  expect(recordsOf(batch)?.map(({ offset, key, value }) => `${offset} ${key}:${value}`)).toEqual(
    Array.from({ length: 100 }, (_, index) => `${index} key ${index}:value ${index % 7} of many, many, many`),
  );
});

test.each(["snappy", "lz4"] as const)(
  "damaged %s either is refused or decompresses to something",
  (codec) => {
    const { payload } = new RecordBatch(Buffer.from(BATCHES[codec], "base64"));
    for (let at = 0; at < payload.length; at++) {
      for (const byte of [0, 0xff, payload.readUInt8(at) ^ 0x10]) {
        const damaged = Buffer.from(payload);
        damaged[at] = byte;
        try {
          expect(decompress(Codec[codec], damaged).length).toBeLessThanOrEqual(MAX_DECOMPRESSED_BYTES);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }
      // A frame of LZ4 ends in a mark that these do not have; snappy says the size of each block.
      if (at > 0) expect(() => decompress(Codec[codec], payload.subarray(0, at))).toThrow();
    }
  },
);

describe("a frame of LZ4 that Apache Kafka and its Java client cannot read is refused", () => {
  const size = (bytes: number) => Buffer.from(Uint32Array.of(bytes).buffer);
  /** @param header hexadecimal: flags, block size, checksum of both */
  const frame = (header: string, block: Buffer) =>
    Buffer.concat([
      Buffer.from(`04224d18${header}`, "hex"),
      size(block.length + 0x8000_0000),
      block,
      size(0),
    ]);
  const short = Buffer.from("a block");
  const long = Buffer.alloc(64 * 1024 + 1);

  test("those with independent blocks are read", () => {
    expect(String(decompress(Codec.lz4, frame("604082", short)))).toBe("a block");
    expect(decompress(Codec.lz4, frame("607073", long))).toEqual(long);
  });
  const refused: [what: string, frame: Buffer][] = [
    ["blocks that depend on each other", frame("4070df", short)],
    ["a dictionary", frame("614000", short)],
    ["version 2", frame("a04000", short)],
    ["an unknown block size", frame("603000", short)],
    ["a block that is larger than the frame says", frame("604082", long)],
  ];
  test.each(refused)("%s", (_, bytes) => {
    expect(() => decompress(Codec.lz4, bytes)).toThrow("LZ4");
  });
  test("a block that becomes larger than the frame says", () => {
    // A literal of one byte, then a match of 255 * 300 bytes and some more.
    const block = Buffer.concat([Buffer.from([0x1f, 0, 1, 0]), Buffer.alloc(300, 255), Buffer.from([0])]);
    const compressed = (header: string) =>
      Buffer.concat([Buffer.from(`04224d18${header}`, "hex"), size(block.length), block, size(0)]);
    expect(decompress(Codec.lz4, compressed("607073")).length).toBeGreaterThan(64 * 1024);
    expect(() => decompress(Codec.lz4, compressed("604082"))).toThrow("LZ4");
  });
});

describe("what decompresses to more than the bound is refused", () => {
  const zeros = Buffer.alloc(MAX_DECOMPRESSED_BYTES + 1);
  /** A literal of one byte, then copies of 64 bytes from a distance of 1. */
  const snappyBlock = () => {
    const copies = Math.ceil(MAX_DECOMPRESSED_BYTES / 64);
    const size = copies * 64 + 1;
    const prefix = Buffer.from(
      [0, 7, 14, 21].map((bits) => ((size >>> bits) & 0x7f) | (bits < 21 ? 0x80 : 0)),
    );
    return Buffer.concat([prefix, Buffer.from([0, 0]), Buffer.alloc(copies * 3, Buffer.from([0xfe, 1, 0]))]);
  };
  /** A literal of one byte, then a match whose length goes on for as many bytes of 255 as are needed. */
  const lz4Frame = () => {
    const length = Buffer.alloc(Math.ceil(MAX_DECOMPRESSED_BYTES / 255), 255);
    const block = Buffer.concat([Buffer.from([0x1f, 0, 1, 0]), length, Buffer.from([0])]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    return Buffer.concat([Buffer.from("04224d18607073", "hex"), size, block, Buffer.alloc(4)]);
  };
  const bombs: [codec: keyof typeof Codec, make: () => Buffer][] = [
    ["gzip", () => gzipSync(zeros)],
    ["zstd", () => zstdCompressSync(zeros)],
    ["snappy", snappyBlock],
    ["lz4", lz4Frame],
  ];
  test.each(bombs)("%s", (codec, make) => {
    expect(() => decompress(Codec[codec], make())).toThrow(TooLarge);
  });
});
