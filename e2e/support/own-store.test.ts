import { expect, test } from "bun:test";
import { tokenClaims } from "@distributed-messaging/contracts";
import { issueToken } from "@distributed-messaging/service/identity";
import { generateSigningKey } from "@distributed-messaging/service/signing-key";
import { hasSecret } from "./own-store.ts";

test("a token or a private key in any log line fails the tests of its store", async () => {
  const { keyId, privateJwk, publicJwk } = await generateSigningKey();
  const identity = { customerId: "CUSTOMER_001", role: "customer" } as const;
  const request = { ...tokenClaims, ...identity, keyId, now: Date.now(), ttlS: 60 };
  const token = await issueToken(privateJwk, request);
  const key = JSON.stringify(privateJwk);
  for (const text of [token, `Bearer ${token}`, key, JSON.stringify({ key })]) {
    expect(hasSecret(text)).toBe(true);
    expect(hasSecret(JSON.stringify({ level: "info", msg: `started with ${text}` }))).toBe(true);
  }
  for (const text of [keyId, JSON.stringify({ publicJwk }), token.split(".")[1] ?? "", crypto.randomUUID()]) {
    expect(hasSecret(JSON.stringify({ level: "info", msg: text }))).toBe(false);
  }
});
