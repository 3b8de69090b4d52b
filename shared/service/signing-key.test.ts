import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureSigningKeyFile, generateSigningKey, parseSigningKey } from "./signing-key.ts";

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

test("the file of a key is made once, for its owner only", async () => {
  const directory = mkdtempSync(join(tmpdir(), "signing-key-"));
  try {
    const path = join(directory, "key.jwk");
    await ensureSigningKeyFile(path);
    const text = readFileSync(path, "utf8");
    expect(parseSigningKey(text).keyId).toHaveLength(43);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await ensureSigningKeyFile(path);
    expect(readFileSync(path, "utf8")).toBe(text);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
