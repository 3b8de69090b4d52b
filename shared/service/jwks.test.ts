import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { chownSync, lchownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase, type ServiceDatabase, silentLogger } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";
import { replaceFile } from "./files.ts";
import { TokenVerifier } from "./identity.ts";
import { KeyFile, KeyUrl, migrateKeys, parseJwks, thumbprintOf, verificationKey } from "./jwks.ts";
import { captureLogger } from "./testing/http.ts";

async function pairOf(algorithm: "EdDSA" | "ES256" | "ES384" | "RS256") {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { privateKey, jwk, keyId: await calculateJwkThumbprint(jwk) };
}
const [ed25519, p256, p384, rsa] = [
  await pairOf("EdDSA"),
  await pairOf("ES256"),
  await pairOf("ES384"),
  await pairOf("RS256"),
];
const weakRsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });

const setOf = (...keys: readonly object[]) => JSON.stringify({ keys });
const idsIn = (text: string) => [...parseJwks(text).keys()];

describe("a key set", () => {
  test("has the keys of the accepted algorithms, each with the algorithm that follows from the key", () => {
    const keys = parseJwks(setOf(ed25519.jwk, p256.jwk, rsa.jwk));
    expect([...keys.values()].map(({ keyId, algorithm }) => [keyId, algorithm])).toEqual([
      [ed25519.keyId, "EdDSA"],
      [p256.keyId, "ES256"],
      [rsa.keyId, "RS256"],
    ]);
  });

  test.each([
    ["symmetric", { kty: "oct", k: "c2VjcmV0", kid: "x" }],
    ["of another curve", p384.jwk],
    ["an RSA key of 1024 bits", weakRsa],
    ["an RSA key that is long by zeros", { ...weakRsa, n: `${"A".repeat(400)}${weakRsa.n}` }],
    ["for encryption", { ...rsa.jwk, use: "enc" }],
    ["for wrapping keys", { ...rsa.jwk, key_ops: ["wrapKey"] }],
    ["of an algorithm that is not that of the key", { ...rsa.jwk, alg: "HS256" }],
    ["of another algorithm of its type", { ...rsa.jwk, alg: "PS256" }],
    ["without its value", { kty: "OKP", crv: "Ed25519" }],
    ["of values that are no text", { ...p256.jwk, x: [1] }],
    ["null", null],
    ["a list", []],
  ])("leaves out what cannot verify a token: %s", (_what, jwk) => {
    expect(idsIn(JSON.stringify({ keys: [jwk, ed25519.jwk] }))).toEqual([ed25519.keyId]);
  });

  test("keeps the first of two keys with one id", () => {
    const keys = parseJwks(setOf({ ...ed25519.jwk, kid: "one" }, { ...p256.jwk, kid: "one" }));
    expect([...keys.values()].map(({ algorithm }) => algorithm)).toEqual(["EdDSA"]);
  });

  test.each(["", "x", "null", "[]", "{}", '{"keys":{}}'])("%p is none, and is not quoted", (text) => {
    expect(() => parseJwks(text)).toThrow(/^not (JSON|a JSON Web Key Set)$/);
  });

  test("thumbprints are those of RFC 8037, appendix A.3", () => {
    const jwk = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
    expect(thumbprintOf(jwk)).toBe("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  });
});

describe("a token of each algorithm", () => {
  const claims = { issuer: "https://issuer.example", audience: "store" };
  const keys = parseJwks(setOf(ed25519.jwk, p256.jwk, rsa.jwk));
  const verifier = new TokenVerifier(claims, {
    current: (keyId) => keys.get(keyId),
    find: (keyId) => Promise.resolve(keys.get(keyId)),
    invalidate() {},
  });
  const tokenOf = (algorithm: string, keyId: string, key: Parameters<SignJWT["sign"]>[0]) =>
    new SignJWT({ role: "admin" })
      .setProtectedHeader({ alg: algorithm, kid: keyId })
      .setSubject("root")
      .setIssuer(claims.issuer)
      .setAudience(claims.audience)
      .setExpirationTime("1h")
      .sign(key);

  test("is verified with a key of that algorithm", async () => {
    for (const [algorithm, pair] of [
      ["EdDSA", ed25519],
      ["ES256", p256],
      ["RS256", rsa],
    ] as const) {
      const token = await tokenOf(algorithm, pair.keyId, pair.privateKey);
      expect(await verifier.verify(token, Date.now())).toMatchObject({ customerId: "root" });
    }
  });

  test("is refused under a key of another algorithm, or with an algorithm of the token's choice", async () => {
    const secret = Buffer.from(JSON.stringify(rsa.jwk));
    const pss = await generateKeyPair("PS256");
    for (const token of [
      await tokenOf("ES256", rsa.keyId, p256.privateKey),
      await tokenOf("EdDSA", p256.keyId, ed25519.privateKey),
      await tokenOf("HS256", rsa.keyId, secret),
      await tokenOf("PS256", rsa.keyId, pss.privateKey),
      // RFC 9864 has a second name for what EdDSA means here.
      await tokenOf("Ed25519", ed25519.keyId, ed25519.privateKey),
    ]) {
      await expect(verifier.verify(token, Date.now())).rejects.toMatchObject({ code: "token-invalid" });
    }
  });
});

describe("keys in a file", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "jwks-"));
    path = join(folder, "jwks.json");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test("count from the moment on at which the file is replaced, also those that are no longer in it", () => {
    const keys = new KeyFile(path, silentLogger);
    expect(keys.current(ed25519.keyId)).toBeUndefined();
    replaceFile(path, setOf(ed25519.jwk), 0o600);
    expect(keys.current(ed25519.keyId)?.algorithm).toBe("EdDSA");
    replaceFile(path, setOf(ed25519.jwk, p256.jwk), 0o600);
    expect(keys.current(p256.keyId)?.algorithm).toBe("ES256");
    replaceFile(path, setOf(p256.jwk), 0o600);
    expect(keys.current(ed25519.keyId)).toBeUndefined();
  });

  test("are not read from a file that others can write to", () => {
    const { log, lines } = captureLogger();
    const keys = new KeyFile(path, log);
    for (const mode of [0o620, 0o602]) {
      replaceFile(path, setOf(ed25519.jwk), mode);
      expect(keys.current(ed25519.keyId)).toBeUndefined();
    }
    expect(lines).toHaveLength(1);
    replaceFile(path, setOf(ed25519.jwk), 0o644);
    expect(keys.current(ed25519.keyId)).toBeDefined();
  });

  // Only root can give files away.
  test.if(process.getuid?.() === 0)("are not read from a file that another user has put there", () => {
    const keys = new KeyFile(path, silentLogger);
    replaceFile(path, setOf(ed25519.jwk), 0o644);
    chownSync(path, 12_345, 12_345);
    expect(keys.current(ed25519.keyId)).toBeUndefined();
    // Nor through a link of theirs to a file of ours.
    rmSync(path);
    replaceFile(join(folder, "ours"), setOf(ed25519.jwk), 0o644);
    symlinkSync(join(folder, "ours"), path);
    lchownSync(path, 12_345, 12_345);
    expect(keys.current(ed25519.keyId)).toBeUndefined();
    // The directory is that user's own, as that of a gateway that runs as another user.
    chownSync(folder, 12_345, 12_345);
    replaceFile(path, setOf(ed25519.jwk), 0o644);
    chownSync(path, 12_345, 12_345);
    expect(keys.current(ed25519.keyId)).toBeDefined();
  });

  test("stay when the file is damaged, too large, gone or unreadable: each is logged once, and that it is over", () => {
    const { log, lines } = captureLogger();
    const keys = new KeyFile(path, log);
    replaceFile(path, setOf(ed25519.jwk), 0o600);
    const known = () => keys.current(ed25519.keyId)?.algorithm;
    expect(known()).toBe("EdDSA");
    writeFileSync(path, '{"keys":[{"kty":"OKP","d":"secret');
    const expectLogged = (text: string) => {
      expect([known(), known()]).toEqual(["EdDSA", "EdDSA"]);
      expect(lines).toEqual([expect.stringContaining(text)]);
      expect(lines.splice(0).join()).not.toContain("secret");
    };
    expectLogged("not JSON");
    writeFileSync(path, setOf(...Array.from({ length: 1_000 }, () => ed25519.jwk)));
    expectLogged("larger than");
    rmSync(path);
    expectLogged("ENOENT");
    // Not even root can look for it there.
    symlinkSync(path, path);
    expectLogged("ELOOP");
    rmSync(path);
    replaceFile(path, setOf(ed25519.jwk), 0o600);
    expectLogged("usable again");
  });

  test("are read once what kept a file from being read is over, though it has not changed since", () => {
    const target = join(folder, "target");
    let isReadable = false;
    const keys = new KeyFile(target, silentLogger, (text) => {
      if (!isReadable) throw new Error("EMFILE");
      return parseJwks(text);
    });
    replaceFile(target, setOf(ed25519.jwk), 0o600);
    expect(keys.current(ed25519.keyId)).toBeUndefined();
    isReadable = true;
    expect(keys.current(ed25519.keyId)).toBeDefined();
  });

  test("that are missing from the start are reported", () => {
    const { log, lines } = captureLogger();
    const keys = new KeyFile(path, log);
    expect([keys.current("a"), keys.current("b")]).toEqual([undefined, undefined]);
    expect(lines).toEqual([expect.stringContaining("ENOENT")]);
  });
});

describe("keys at a URL", () => {
  const url = "https://issuer.example/jwks";
  let database: ServiceDatabase;
  let now: number;
  let requests: number;
  let issue: () => Response | Promise<Response>;

  beforeEach(() => {
    database = openDatabase(":memory:");
    migrateKeys(database);
    now = 0;
    requests = 0;
    issue = () => new Response(setOf(ed25519.jwk));
  });
  afterEach(() => database.close());

  const down = () => Promise.reject(new TypeError("unreachable"));
  const isStored = ({ x = "" }: typeof p256.jwk) =>
    database.sql.query("SELECT 1 FROM jwks_cache WHERE instr(document, ?)").get(x) !== null;
  const open = (log = silentLogger) =>
    new KeyUrl(database, url, log, {
      fetch: async (_url, init) => {
        requests += 1;
        // What a cache on the way may have kept would bring a withdrawn key back.
        expect(new Headers(init.headers).get("cache-control")).toBe("no-cache");
        return issue();
      },
      monotonic: () => now,
    });

  test("are fetched when a key is not known; several tokens wait for one answer", async () => {
    const keys = open();
    const found = await Promise.all([1, 2, 3].map(() => keys.find(ed25519.keyId)));
    expect(found.map((key) => key?.algorithm)).toEqual(["EdDSA", "EdDSA", "EdDSA"]);
    expect(requests).toBe(1);
  });

  test.each([
    ["answers", () => new Response(setOf(ed25519.jwk))],
    ["is down", () => Promise.reject(new TypeError("unreachable"))],
  ])(
    "are not fetched again within ten seconds, whatever tokens and events arrive, when the issuer %s",
    async (_what, answer) => {
      issue = answer;
      const keys = open();
      for (let second = 0; second < 20; second += 1) {
        now = second * 1000;
        for (let index = 0; index < 10; index += 1) await keys.find(`unknown-${second}-${index}`);
        // From the sixth second on, somebody sends events, too: they have a limit of their own.
        if (second >= 5) keys.invalidate();
      }
      expect(requests).toBe(4);
    },
  );

  test("a new key that is announced is found at once, though tokens of unknown keys have just used their limit", async () => {
    const keys = open();
    await keys.find("unknown");
    issue = () => new Response(setOf(ed25519.jwk, p256.jwk));
    expect(await keys.find(p256.keyId)).toBeUndefined();
    keys.invalidate();
    expect((await keys.find(p256.keyId))?.algorithm).toBe("ES256");
  });

  test("a new key is found when it is used, and a withdrawn one is dropped with the next answer", async () => {
    const keys = open();
    await keys.find(ed25519.keyId);
    issue = () => new Response(setOf(p256.jwk));
    now = 60_000;
    expect((await keys.find(p256.keyId))?.algorithm).toBe("ES256");
    expect(keys.current(ed25519.keyId)).toBeUndefined();
  });

  test.each([
    ["after five minutes", 5 * 60_000, false],
    ["after an event of the issuer", 1, true],
  ])("are fetched again %s, and tokens do not wait for it", async (_when, at, isAnnounced) => {
    const keys = open();
    await keys.find(ed25519.keyId);
    issue = () => new Response(setOf(p256.jwk));
    now = at - 1;
    expect([keys.current(ed25519.keyId)?.keyId, requests]).toEqual([ed25519.keyId, 1]);
    now = at;
    if (isAnnounced) keys.invalidate();
    expect(keys.current(ed25519.keyId)?.keyId).toBe(ed25519.keyId);
    await eventually(() => keys.current(ed25519.keyId) === undefined);
    expect(requests).toBe(2);
  });

  test("an event causes a request before a token does: no token is verified with the former keys once it is answered", async () => {
    const keys = open();
    await keys.find(ed25519.keyId);
    issue = () => new Response(setOf(p256.jwk));
    keys.invalidate();
    await eventually(() => isStored(p256.jwk));
    expect(keys.current(ed25519.keyId)).toBeUndefined();
  });

  test("an event that arrives during a request causes another one, also before a token", async () => {
    const answer = Promise.withResolvers<Response>();
    issue = () => answer.promise;
    const keys = open();
    const found = keys.find(ed25519.keyId);
    await eventually(() => requests === 1);
    keys.invalidate();
    issue = () => new Response(setOf(p256.jwk));
    answer.resolve(new Response(setOf(ed25519.jwk)));
    expect((await found)?.algorithm).toBe("EdDSA");
    await eventually(() => isStored(p256.jwk));
    expect([keys.current(ed25519.keyId), requests]).toEqual([undefined, 2]);
  });

  test("stay while the issuer is down, also after a restart", async () => {
    await open().find(ed25519.keyId);
    issue = down;
    now = 3_600_000;
    const restarted = open();
    expect((await restarted.find(ed25519.keyId))?.algorithm).toBe("EdDSA");
    expect(await restarted.find("unknown")).toBeUndefined();
  });

  test("an event is not lost while the issuer is down", async () => {
    const keys = open();
    await keys.find(ed25519.keyId);
    keys.invalidate();
    issue = down;
    keys.current(ed25519.keyId);
    await eventually(() => requests === 2);
    issue = () => new Response(setOf(p256.jwk));
    now = 10_000;
    await eventually(() => keys.current(ed25519.keyId) === undefined);
  });

  test("of one URL are not used for another", async () => {
    await open().find(ed25519.keyId);
    const other = new KeyUrl(database, `${url}2`, silentLogger, { fetch: down, monotonic: () => now });
    expect(await other.find(ed25519.keyId)).toBeUndefined();
  });

  test.each([
    ["an error", () => new Response("", { status: 500 })],
    ["no key set", () => new Response("<html>")],
    ["a set without a usable key", () => new Response(setOf({ ...rsa.jwk, use: "enc" }))],
    ["64 KiB and more", () => new Response(`${setOf(p256.jwk)}${" ".repeat(64 * 1024)}`)],
    ["text that is not UTF-8", () => new Response(new Uint8Array([0xff]))],
  ])("stay when the issuer answers with %s", async (_what, answer) => {
    const { log, lines } = captureLogger("test", "info");
    const keys = open(log);
    await keys.find(ed25519.keyId);
    issue = answer;
    now = 20_000;
    expect(await keys.find(p256.keyId)).toBeUndefined();
    expect((await keys.find(ed25519.keyId))?.algorithm).toBe("EdDSA");
    expect(lines).toHaveLength(1);
  });

  // The time of a request is five seconds.
  test.if(process.env.SLOW_TESTS === "true")("an answer that does not end is given up", async () => {
    const endless = new ReadableStream({ pull: () => new Promise(() => {}) });
    await using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 60,
      fetch: () => new Response(endless),
    });
    const { log, lines } = captureLogger("test", "info");
    expect(await new KeyUrl(database, server.url.href, log).find(ed25519.keyId)).toBeUndefined();
    expect(lines).toEqual([expect.stringContaining("cannot be fetched")]);
  });

  test("a redirect is not followed", async () => {
    await using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) =>
        request.url.endsWith("/keys")
          ? new Response(setOf(ed25519.jwk))
          : Response.redirect(new URL("/keys", request.url).href),
    });
    const at = (path: string) => new KeyUrl(database, new URL(path, server.url).href, silentLogger);
    expect(await at("/elsewhere").find(ed25519.keyId)).toBeUndefined();
    expect(await at("/keys").find(ed25519.keyId)).toBeDefined();
  });
});

test("a key that is not one of Ed25519, P-256 or RSA is none", () => {
  expect(verificationKey({})).toBeUndefined();
});
