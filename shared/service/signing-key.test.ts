import { expect, test } from "bun:test";
import { generateSigningKey, parseSigningKey } from "./signing-key.ts";

test("a private key is read when its halves belong together, and is not quoted otherwise", async () => {
  const key = await generateSigningKey();
  const other = await generateSigningKey();
  expect(parseSigningKey(JSON.stringify(key.privateJwk))).toEqual(key);
  for (const text of [
    "",
    "{}",
    "null",
    JSON.stringify(key.publicJwk),
    JSON.stringify({ ...key.privateJwk, x: other.publicJwk.x }),
    JSON.stringify({ ...key.privateJwk, d: "AA" }),
  ]) {
    expect(() => parseSigningKey(text)).toThrow(/^expected a private Ed25519 key as a JWK$/);
  }
});
