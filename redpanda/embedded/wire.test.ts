import { describe, expect, test } from "bun:test";
import { apis } from "./registry.ts";
import { Reader, WireError } from "./wire/reader.ts";
import { Writer } from "./wire/writer.ts";

describe.each([false, true])("with flexible = %p", (flexible) => {
  test("reads what the writer wrote", () => {
    const writer = new Writer(flexible, 1)
      .boolean(true)
      .int8(-1)
      .int16(-2)
      .int32(-3)
      .string("héllo")
      .nullableString(null)
      .nullableString("")
      .bytes(Buffer.from([1, 2, 3]))
      .uuid("00112233445566778899aabbccddeeff");
    writer.array([1, 2], (item) => writer.int32(item)).structs(["a"], (item) => writer.string(item));
    const reader = new Reader(writer.noTags().finish(), flexible);
    expect(reader.boolean()).toBe(true);
    expect([reader.int8(), reader.int16(), reader.int32()]).toEqual([-1, -2, -3]);
    expect([reader.string(), reader.nullableString(), reader.nullableString()]).toEqual(["héllo", null, ""]);
    expect([...reader.bytes()]).toEqual([1, 2, 3]);
    expect(reader.uuid()).toBe("00112233445566778899aabbccddeeff");
    expect(reader.array(() => reader.int32())).toEqual([1, 2]);
    expect(reader.structs(() => reader.string())).toEqual(["a"]);
    reader.skipTags();
    expect(reader.remaining).toBe(0);
  });

  test("distinguishes a null array from an empty one", () => {
    const empty = new Writer(flexible).array([], () => {}).finish();
    expect(new Reader(empty, flexible).nullableArray(() => 0)).toEqual([]);
    const none = flexible ? Buffer.from([0]) : Buffer.from([255, 255, 255, 255]);
    expect(new Reader(none, flexible).nullableArray(() => 0)).toBeNull();
  });

  test("refuses an array with more elements than remaining bytes, before it allocates memory", () => {
    const claim = flexible ? new Writer().unsignedVarint(2 ** 31) : new Writer().int32(2 ** 31 - 1);
    expect(() => new Reader(claim.finish(), flexible).array(() => 0)).toThrow(WireError);
  });
});

test.each([0, 1, -1, 63, -64, 64, 2 ** 31 - 1, -(2 ** 31), 2 ** 40, -(2 ** 40), Number.MAX_SAFE_INTEGER])(
  "%d as 64 bits and as a varlong",
  (value) => {
    const reader = new Reader(new Writer().int64(value).varint(value).finish());
    expect([reader.int64(), value > 2 ** 52 ? value : reader.varlong()]).toEqual([value, value]);
  },
);

test("64 bits are those of BigInt", () => {
  for (const value of [0n, -1n, -2n, 2n ** 32n, -(2n ** 32n), 1_795_386_648_692n]) {
    const expected = Buffer.alloc(8);
    expected.writeBigInt64BE(value);
    expect(new Writer().int64(Number(value)).finish()).toEqual(expected);
  }
});

test("unknown tagged fields are skipped", () => {
  const tags = new Writer().unsignedVarint(2);
  for (const tag of [3, 900]) tags.unsignedVarint(tag).unsignedVarint(2).int16(7);
  const reader = new Reader(tags.int8(42).finish(), true);
  reader.skipTags();
  expect(reader.int8()).toBe(42);
});

test("random bytes decode as every request in every version, or fail with WireError", () => {
  const random = xorshift(20260101);
  for (const api of apis.values()) {
    for (let version = api.minVersion; version <= api.maxVersion; version++) {
      for (let round = 0; round < 200; round++) {
        const bytes = Buffer.from(
          Array.from({ length: random() % 120 }, () => (random() % 3 === 0 ? 0 : random() % 256)),
        );
        try {
          api.decode(new Reader(bytes, version >= api.flexibleFrom), version);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }
  }
});

/** Marsaglia's xorshift32 with a fixed seed, so that a failure is reproducible. */
function xorshift(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
