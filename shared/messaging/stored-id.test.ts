import { expect, test } from "bun:test";
import fc from "fast-check";
import { idOf, storedId, UUID } from "./stored-id.ts";

const hexDigit = fc.constantFrom(..."0123456789abcdef");
const uuid = fc
  .array(hexDigit, { minLength: 32, maxLength: 32 })
  .map((digits) => digits.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));
const character = fc.constantFrom(..."0123456789abcdefgABF-/:` \u00e9\u0661");

test("a UUID is stored as its 16 bytes, and is the same again when it is read", () => {
  fc.assert(
    fc.property(uuid, (id) => {
      expect(storedId(id)).toEqual(Uint8Array.from(Buffer.from(id.replaceAll("-", ""), "hex")));
      expect(idOf(storedId(id))).toBe(id);
    }),
  );
});

test("UUIDs are in the same order as their texts", () => {
  fc.assert(
    fc.property(uuid, uuid, (one, other) => {
      const [a, b] = [storedId(one), storedId(other)];
      if (typeof a === "string" || typeof b === "string") throw new Error("not stored as bytes");
      expect(Math.sign(Buffer.compare(a, b))).toBe(one < other ? -1 : one > other ? 1 : 0);
    }),
  );
});

test("any other id is stored as it is, also if it differs from a UUID in one character", () => {
  fc.assert(
    fc.property(uuid, fc.nat(35), character, (id, at, other) => {
      const changed = id.slice(0, at) + other + id.slice(at + 1);
      const stored = storedId(changed);
      expect(typeof stored === "string").toBe(!UUID.test(changed));
      expect(idOf(stored)).toBe(changed);
    }),
    { numRuns: 2_000 },
  );
  for (const id of ["", "A", "0".repeat(36), "0".repeat(32), "-".repeat(36)]) expect(storedId(id)).toBe(id);
});
