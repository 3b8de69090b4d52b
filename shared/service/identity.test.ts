import { describe, expect, test } from "bun:test";
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWTPayload,
  SignJWT,
} from "jose";
import { ServiceError } from "./errors.ts";
import { acceptSubprotocol, authenticate, issueToken, requireAdmin, TokenVerifier } from "./identity.ts";
import { generateSigningKey, type PublicJwk } from "./signing-key.ts";
import { keySource } from "./testing/keys.ts";

const now = Date.UTC(2026, 0, 1);
const key = await generateSigningKey();
const other = await generateSigningKey();
const system = { issuer: "https://issuer.example", audience: "example" };
const keys = keySource((keyId) => (keyId === key.keyId ? key.publicJwk : undefined));
const verifier = new TokenVerifier(system, keys);
const alice = { customerId: "CUSTOMER_001", role: "customer" } as const;
const token = await issueToken(key.privateJwk, { ...system, ...alice, keyId: key.keyId, now, ttlS: 3600 });

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof ServiceError && error.kind === "unauthorized") return error.code;
    throw error;
  }
  return "accepted";
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a signing key", () => {
  test("is an OKP key under its thumbprint", async () => {
    expect(key.publicJwk).toEqual({ kty: "OKP", crv: "Ed25519", x: expect.stringMatching(/^[\w-]{43}$/) });
    expect(key.keyId).toBe(await calculateJwkThumbprint({ ...key.publicJwk }));
    expect(key.privateJwk).toMatchObject(key.publicJwk);
    expect(other.keyId).not.toBe(key.keyId);
  });
});

describe("the id of an operator", () => {
  const operator = { customerId: "operator-root", role: "admin" } as const;

  test("is in no token that a service issues", async () => {
    const issued = issueToken(key.privateJwk, { ...system, ...operator, keyId: key.keyId, now, ttlS: 3600 });
    await expect(issued).rejects.toMatchObject({ kind: "invalid", code: "customer-id-reserved" });
  });

  test("is accepted from nobody else, whoever signed the token", async () => {
    const signed = await new SignJWT({ role: "admin" })
      .setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid: key.keyId })
      .setSubject("operator-root")
      .setIssuer(system.issuer)
      .setAudience(system.audience)
      .setExpirationTime(now / 1000 + 3600)
      .sign(await importJWK({ ...key.privateJwk }, "EdDSA"));
    expect(await codeOf(verifier.verify(signed, now))).toBe("token-invalid");
  });
});

describe("a token", () => {
  test("identifies its bearer until it expires", async () => {
    expect(await verifier.verify(token, now)).toMatchObject({ ...alice, expiresAt: now + 3_600_000 });
    const admin = await issueToken(key.privateJwk, {
      ...system,
      customerId: "root",
      role: "admin",
      keyId: key.keyId,
      now,
      ttlS: 1,
    });
    expect((await verifier.verify(admin, now)).role).toBe("admin");
  });

  test("is checked against key and time each time it is used", async () => {
    const seen = await issueToken(key.privateJwk, { ...system, ...alice, keyId: key.keyId, now, ttlS: 60 });
    let published: PublicJwk | undefined = key.publicJwk;
    const one = new TokenVerifier(
      system,
      keySource(() => published),
    );
    expect(await codeOf(one.verify(seen, now))).toBe("accepted");
    published = undefined;
    expect(await codeOf(one.verify(seen, now))).toBe("token-invalid");
    published = other.publicJwk;
    expect(await codeOf(one.verify(seen, now))).toBe("token-invalid");
    published = key.publicJwk;
    expect(await codeOf(one.verify(seen, now + 70_000))).toBe("token-expired");
    expect(await codeOf(one.verify(seen, now))).toBe("accepted");
  });

  test("tells a connection that stays open when it no longer holds", async () => {
    let published: PublicJwk | undefined = key.publicJwk;
    const one = new TokenVerifier(
      system,
      keySource(() => published),
    );
    const identity = await one.verify(token, now);
    expect([identity.stillHolds(now), identity.stillHolds(now + 3_610_000)]).toEqual([true, false]);
    published = undefined;
    expect(identity.stillHolds(now)).toBe(false);
  });

  test.each([{ issuer: "someone" }, { audience: "someone" }])(
    "is refused by a verifier of another system, also after its own accepted it: %p",
    async (change) => {
      expect(await codeOf(verifier.verify(token, now))).toBe("accepted");
      const foreign = new TokenVerifier({ ...system, ...change }, keys);
      expect(await codeOf(foreign.verify(token, now))).toBe("token-invalid");
    },
  );

  test("tolerates seconds of clock skew, not minutes", async () => {
    expect(await codeOf(verifier.verify(token, now + 3_602_000))).toBe("accepted");
    expect(await codeOf(verifier.verify(token, now + 3_610_000))).toBe("token-expired");
  });

  test("is refused when its key is not published, or it is signed with another key", async () => {
    const claims = { ...system, ...alice, now, ttlS: 60 };
    const unknown = await issueToken(other.privateJwk, { ...claims, keyId: other.keyId });
    const forged = await issueToken(other.privateJwk, { ...claims, keyId: key.keyId });
    expect(await codeOf(verifier.verify(unknown, now))).toBe("token-invalid");
    expect(await codeOf(verifier.verify(forged, now))).toBe("token-invalid");
  });

  test("is refused with any other algorithm", async () => {
    const claims = { role: "admin", sub: "x", iss: system.issuer, aud: system.audience };
    const payload = encode({ ...claims, exp: now / 1000 + 60 });
    const none = `${encode({ alg: "none", kid: key.keyId })}.${payload}.`;
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: key.keyId })
      .setExpirationTime(now / 1000 + 60)
      .sign(Buffer.from(key.publicJwk.x, "base64url"));
    const pair = await generateKeyPair("ES256", { extractable: true });
    const ecdsa = await new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", kid: key.keyId, jwk: await exportJWK(pair.publicKey) })
      .setExpirationTime(now / 1000 + 60)
      .sign(pair.privateKey);
    for (const forged of [none, hmac, ecdsa]) {
      expect(await codeOf(verifier.verify(forged, now))).toBe("token-invalid");
    }
  });

  test("is refused with any character changed", async () => {
    for (let index = 0; index < token.length; index += 7) {
      const changed = token[index] === "A" ? "B" : "A";
      const forged = token.slice(0, index) + changed + token.slice(index + 1);
      expect(await codeOf(verifier.verify(forged, now))).not.toBe("accepted");
    }
  });

  test.each([
    ["another issuer", { iss: "someone" }],
    ["another audience", { aud: "someone" }],
    ["an unknown role", { role: "root" }],
    ["no role", { role: undefined }],
    ["a malformed customer id", { sub: "a b" }],
    ["no customer", { sub: undefined }],
    ["a customer id that is a list", { sub: ["c"] }],
    ["a customer id that is a number", { sub: 7 }],
    ["no expiry", { exp: undefined }],
  ])("is refused, though well signed, with %s", async (_what, change) => {
    const claims = {
      role: "customer",
      sub: "c",
      iss: system.issuer,
      aud: system.audience,
      exp: now / 1000 + 60,
    };
    // jose's type has no such claims; they are what is tested.
    const signed = await new SignJWT({ ...claims, ...change } as unknown as JWTPayload)
      .setProtectedHeader({ alg: "EdDSA", kid: key.keyId })
      .sign(await importJWK({ ...key.privateJwk }, "EdDSA"));
    expect(await codeOf(verifier.verify(signed, now))).toBe("token-invalid");
  });

  test.each([
    "",
    ".",
    "..",
    "a.b.c",
    "x".repeat(100_000),
    `${"x".repeat(700)}.${"x".repeat(700)}.x`,
    "é.é.é",
    "null",
  ])("is refused when malformed", async (malformed) =>
    expect(await codeOf(verifier.verify(malformed, now))).toBe("token-invalid"),
  );

  test("is refused when its key cannot be read", async () => {
    const broken = new TokenVerifier(
      system,
      keySource(() => ({ kty: "OKP", crv: "Ed25519", x: "!" })),
    );
    expect(await codeOf(broken.verify(token, now))).toBe("token-invalid");
  });
});

describe("authenticate", () => {
  const ask = (headers: Record<string, string>, query = "") =>
    authenticate(new Request(`http://h/orders${query}`, { headers }), verifier, now);
  const upgrade = { upgrade: "websocket" };

  test("accepts the Authorization header, its scheme in any case", async () => {
    for (const scheme of ["Bearer", "bearer", "BEARER"]) {
      expect(await ask({ authorization: `${scheme} ${token}` })).toMatchObject(alice);
    }
  });

  test("accepts a WebSocket's subprotocol or query", async () => {
    expect(await ask({ ...upgrade, "sec-websocket-protocol": `bearer, ${token}` })).toMatchObject(alice);
    expect(await ask({ upgrade: "WebSocket" }, `?after=3&token=${token}`)).toMatchObject(alice);
  });

  test("does not accept a token in the URL of any other request", async () => {
    expect(await codeOf(ask({}, `?token=${token}`))).toBe("token-missing");
    expect(await codeOf(ask({ "sec-websocket-protocol": `bearer, ${token}` }))).toBe("token-missing");
  });

  test.each(["Basic dTpw", "Bearer", "Bearer ", "Bearer a b", token])(
    "refuses Authorization: %p",
    async (header) => {
      expect(await codeOf(ask({ authorization: header }))).toBe("token-invalid");
    },
  );

  test("distinguishes a missing token from an invalid one", async () => {
    expect(await codeOf(ask({}))).toBe("token-missing");
    expect(await codeOf(ask({ ...upgrade, "sec-websocket-protocol": "bearer" }))).toBe("token-missing");
    expect(await codeOf(ask({ ...upgrade, "sec-websocket-protocol": `chat, ${token}` }))).toBe(
      "token-missing",
    );
  });

  test("accepts the subprotocol only when it was offered", () => {
    const offer = (protocol: string) =>
      acceptSubprotocol(new Request("http://h", { headers: { "sec-websocket-protocol": protocol } }));
    expect(offer(`bearer, ${token}`)).toEqual({ "sec-websocket-protocol": "bearer" });
    expect(offer("chat")).toEqual({});
    expect(acceptSubprotocol(new Request("http://h"))).toEqual({});
  });
});

test("requireAdmin lets only an admin pass", () => {
  expect(() => requireAdmin(alice)).toThrow(ServiceError);
  expect(() => requireAdmin({ customerId: "root", role: "admin" })).not.toThrow();
});
