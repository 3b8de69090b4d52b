import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@distributed-messaging/messaging";
import { importJWK, SignJWT } from "jose";
import { issueToken, TokenVerifier } from "./identity.ts";
import { KeyFile } from "./jwks.ts";
import { ensureOperatorKey, operatorClaims, operatorToken, parseOperatorKey } from "./operator.ts";
import { generateSigningKey } from "./signing-key.ts";
import { keySource } from "./testing/keys.ts";

const claims = { issuer: "test", audience: "test" };
const issuer = await generateSigningKey();
const now = Date.now();

let folder: string;
let path: string;
let verifier: TokenVerifier;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "operator-"));
  path = join(folder, "operator.jwk");
  await ensureOperatorKey(path);
  verifier = verifierOf();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Of a service whose issuer has published the keys; none by default. */
const verifierOf = (lookup: Parameters<typeof keySource>[0] = () => undefined) =>
  new TokenVerifier(claims, keySource(lookup), new KeyFile(path, silentLogger, parseOperatorKey));

const tokenOf = async () => (await operatorToken(path, now)) ?? "";
const keyIdOf = () => [...parseOperatorKey(readFileSync(path, "utf8")).keys()][0] ?? "";

describe("the key of the operators", () => {
  test("is generated once, by one of several processes, and readable by its owner only", async () => {
    const first = readFileSync(path, "utf8");
    await Promise.all([1, 2, 3].map(() => ensureOperatorKey(path)));
    expect(readFileSync(path, "utf8")).toBe(first);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["operator.jwk"]);
  });

  test("may be in a directory that is read-only, once it is there", async () => {
    // Root writes in spite of the mode, but it cannot create a file without a change of this time.
    utimesSync(folder, 1, 1);
    chmodSync(folder, 0o500);
    await ensureOperatorKey(path);
    expect(statSync(folder).mtimeMs).toBe(1_000);
    chmodSync(folder, 0o700);
  });

  test("makes an admin, though no key of an issuer is known, until the token expires", async () => {
    const token = await tokenOf();
    expect(await verifier.verify(token, now)).toMatchObject({
      role: "admin",
      customerId: expect.stringMatching(/^operator-[\w-]+$/),
    });
    await expect(verifier.verify(token, now + 6 * 60_000)).rejects.toMatchObject({ code: "token-expired" });
  });

  test("verifies with its public half alone, and no longer when it is replaced", async () => {
    const token = await tokenOf();
    const { d: _, ...publicJwk } = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(publicJwk));
    expect((await verifier.verify(token, now)).role).toBe("admin");
    await expect(operatorToken(path, now)).rejects.toThrow("no private key");
    writeFileSync(path, JSON.stringify(issuer.publicJwk));
    await expect(verifier.verify(token, now)).rejects.toMatchObject({ code: "token-invalid" });
  });

  test("cannot be taken by an issuer: neither its id nor its claims", async () => {
    const request = { customerId: "root", role: "admin", now, ttlS: 60 } as const;
    const sameId = { ...request, ...claims, keyId: keyIdOf() };
    const sameClaims = { ...request, ...operatorClaims, keyId: issuer.keyId };
    const published = verifierOf(() => issuer.publicJwk);
    for (const forged of [sameId, sameClaims]) {
      const token = await issueToken(issuer.privateJwk, forged);
      await expect(published.verify(token, now)).rejects.toMatchObject({ code: "token-invalid" });
    }
    // The issuer's own tokens are not affected.
    const own = await issueToken(issuer.privateJwk, { ...request, ...claims, keyId: issuer.keyId });
    expect((await published.verify(own, now)).customerId).toBe("root");
  });

  test("signs nothing but operators' tokens", async () => {
    const jwk = JSON.parse(readFileSync(path, "utf8"));
    const token = await new SignJWT({ role: "customer" })
      .setProtectedHeader({ alg: "EdDSA", kid: keyIdOf() })
      .setSubject("ANN")
      .setIssuer(claims.issuer)
      .setAudience(claims.audience)
      .setExpirationTime("1h")
      .sign(await importJWK(jwk, "EdDSA"));
    await expect(verifier.verify(token, now)).rejects.toMatchObject({ code: "token-invalid" });
  });
});

test("there is no token without the file, and an error that does not quote a damaged one", async () => {
  expect(await operatorToken(join(folder, "none.jwk"))).toBeUndefined();
  writeFileSync(path, '{"d":"secret"');
  await expect(operatorToken(path)).rejects.toThrow(/^not JSON$/);
  writeFileSync(path, '{"d":"secret"}');
  await expect(operatorToken(path)).rejects.toThrow(/^not an Ed25519 JWK$/);
});
