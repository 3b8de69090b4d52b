import { createHash } from "node:crypto";
import { readFileSync, type Stats, statSync } from "node:fs";
import {
  errorText,
  type Logger,
  type Migration,
  migrate,
  RepeatedFailure,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import { type CryptoKey, importJWK, type JWK } from "jose";
import { isOfAnother } from "./files.ts";

/** The signature algorithms that are accepted (RFC 8037 §3.1, RFC 7518 §3.1). */
const ALGORITHMS = ["EdDSA", "ES256", "RS256"] as const;
type Algorithm = (typeof ALGORITHMS)[number];

/** NIST SP 800-131A: shorter RSA keys are not to be trusted. */
const MIN_RSA_BITS = 2048;
/** A set of a hundred RSA keys of 4096 bits has 75 kB; issuers publish two or three keys. */
const MAX_JWKS_BYTES = 64 * 1024;
const OTHERS_WRITE = 0o022;
const FETCH_TIMEOUT_MS = 5_000;
/** The least time between two requests for the same reason, whatever tokens and messages arrive. */
const COOLDOWN_MS = 10_000;
/** A token that finds an older set causes another request, so that a withdrawn key ends also when no event tells of it. */
const MAX_AGE_MS = 5 * 60_000;

/** A public key that verifies tokens. Its algorithm follows from the key: a token cannot choose another one. */
export class VerificationKey {
  /** Equal for the same key in another copy of the set. */
  readonly fingerprint: string;
  #imported: Promise<CryptoKey> | undefined;

  constructor(
    readonly keyId: string,
    readonly algorithm: Algorithm,
    private readonly jwk: JWK,
  ) {
    const { x = null, y = null, n = null, e = null } = jwk;
    this.fingerprint = JSON.stringify([algorithm, x, y, n, e]);
  }

  cryptoKey(): Promise<CryptoKey> {
    this.#imported ??= importJWK(this.jwk, this.algorithm).then((key) => {
      if (key instanceof Uint8Array) throw new TypeError("a public key is not a secret");
      return key;
    });
    return this.#imported;
  }
}

type Keys = ReadonlyMap<string, VerificationKey>;
const NO_KEYS: Keys = new Map();

/** Where a verifier finds public keys. */
export interface KeySource {
  /** The key of this id, as far as it is known now. */
  current(keyId: string): VerificationKey | undefined;
  /** Likewise, after looking for a key that is not known yet. */
  find(keyId: string): Promise<VerificationKey | undefined>;
  /** The keys may have changed. */
  invalidate(): void;
}

/**
 * The keys of a JSON Web Key Set (RFC 7517 §5) that can verify tokens. Others are left out: those for encryption, of
 * other algorithms, symmetric ones, and RSA keys of less than 2048 bits. A key without `kid` has its thumbprint as id.
 *
 * @throws TypeError when the text is no key set
 */
export function parseJwks(text: string): Keys {
  const set = parsed(text);
  if (!isRecord(set) || !Array.isArray(set.keys)) throw new TypeError("not a JSON Web Key Set");
  const keys = new Map<string, VerificationKey>();
  for (const entry of set.keys as readonly unknown[]) {
    const key = isRecord(entry) ? verificationKey(entry) : undefined;
    // Two keys of one id: which of them is meant depends on the order, so an added one must not replace the first.
    if (key !== undefined && !keys.has(key.keyId)) keys.set(key.keyId, key);
  }
  return keys;
}

/** The public half of a JWK, where it can verify tokens. */
export function verificationKey(jwk: Readonly<Record<string, unknown>>): VerificationKey | undefined {
  const { kid, use, key_ops: operations, alg, kty, crv, x, y, n, e } = jwk;
  if (use !== undefined && use !== "sig") return undefined;
  if (
    operations !== undefined &&
    !(Array.isArray(operations) && operations.some((one) => one === "verify" || one === "sign"))
  ) {
    return undefined;
  }
  const [algorithm, required]: [Algorithm, Readonly<Record<string, unknown>>] | [undefined, undefined] =
    kty === "OKP" && crv === "Ed25519"
      ? ["EdDSA", { crv, kty, x }]
      : kty === "EC" && crv === "P-256"
        ? ["ES256", { crv, kty, x, y }]
        : kty === "RSA" && bitsOf(n) >= MIN_RSA_BITS
          ? ["RS256", { e, kty, n }]
          : [undefined, undefined];
  if (algorithm === undefined || (alg !== undefined && alg !== algorithm)) return undefined;
  const values = Object.entries(required).map(
    ([name, value]) => [name, typeof value === "string" ? value : undefined] as const,
  );
  if (values.some(([, value]) => value === undefined)) return undefined;
  const publicJwk: JWK = Object.fromEntries(values);
  const keyId = typeof kid === "string" && kid !== "" ? kid : thumbprint(required);
  return new VerificationKey(keyId, algorithm, publicJwk);
}

/**
 * The id of a key that follows from the key itself (RFC 7638, SHA-256).
 *
 * @param required the members that the RFC names for its type, in lexicographic order
 */
function thumbprint(required: Readonly<Record<string, unknown>>): string {
  return createHash("sha256").update(JSON.stringify(required)).digest("base64url");
}

/** The RFC 7638 thumbprint of an Ed25519 key (RFC 8037 §2). */
export function thumbprintOf({
  crv,
  kty,
  x,
}: {
  readonly crv: string;
  readonly kty: string;
  readonly x: string;
}): string {
  return thumbprint({ crv, kty, x });
}

function bitsOf(modulus: unknown): number {
  if (typeof modulus !== "string") return 0;
  const bytes = Buffer.from(modulus, "base64url");
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] ?? 0) + 24;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The error of JSON.parse quotes the text, which may be a key.
    throw new TypeError("not JSON");
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Keys in a file of this machine. A file that is replaced counts at once: it is looked at for every token. As long as
 * it is missing, unreadable, damaged, another user's, or one that others can write to, the last good keys stay; that it
 * is, and that it no longer is, is logged once.
 */
export class KeyFile implements KeySource {
  readonly #path: string;
  readonly #parse: (text: string) => Keys;
  readonly #log: Logger;
  /** The version of the file that the keys are from. */
  #version: Stats | undefined;
  #keys = NO_KEYS;
  #problem: string | undefined;

  constructor(path: string, log: Logger, parse: (text: string) => Keys = parseJwks) {
    this.#path = path;
    this.#parse = parse;
    this.#log = log;
  }

  current(keyId: string): VerificationKey | undefined {
    try {
      const stats = statSync(this.#path);
      if (!isVersion(stats, this.#version)) this.#read(stats);
      this.#report(undefined);
    } catch (error) {
      this.#report(errorText(error));
    }
    return this.#keys.get(keyId);
  }

  find(keyId: string): Promise<VerificationKey | undefined> {
    return Promise.resolve(this.current(keyId));
  }

  invalidate(): void {}

  #read(stats: Stats): void {
    if (isOfAnother(this.#path)) throw new TypeError("belongs to another user");
    if ((stats.mode & OTHERS_WRITE) !== 0) throw new TypeError("others can write to it");
    if (stats.size > MAX_JWKS_BYTES) throw new TypeError(`larger than ${MAX_JWKS_BYTES} bytes`);
    this.#keys = this.#parse(readFileSync(this.#path, "utf8"));
    // Last: what could not be read for a passing reason is read again.
    this.#version = stats;
  }

  #report(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const file = this.#path;
    if (problem === undefined) this.#log.info({ file }, "a file of keys is usable again");
    else this.#log.error({ file, error: problem }, "a file of keys is not usable: the keys read before stay");
  }
}

function isVersion({ ino, size, mtimeMs, ctimeMs }: Stats, known: Stats | undefined): boolean {
  return ino === known?.ino && size === known.size && mtimeMs === known.mtimeMs && ctimeMs === known.ctimeMs;
}

/** The schema of what a service knows of keys, in the scope `signing-keys`. */
export const keyMigrations: readonly Migration[] = [
  {
    name: "signing keys",
    sql: `
      -- The gateway's public keys, by which this service knows who asks.
      CREATE TABLE signing_keys (
        key_id TEXT PRIMARY KEY,
        x TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    name: "key sets of an issuer, in place of keys that messages brought",
    sql: `
      DROP TABLE signing_keys;
      -- The last good answer of each issuer: tokens are verified with it while the issuer is down.
      CREATE TABLE jwks_cache (
        url TEXT PRIMARY KEY,
        document TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
];

/** Creates the table that a `KeyUrl` keeps its last good answer in. */
export function migrateKeys(database: ServiceDatabase): void {
  migrate(database, "signing-keys", keyMigrations);
}

interface UrlOptions {
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds since any fixed moment. */
  readonly monotonic?: () => number;
  /** Finds the address of the keys, each time they are fetched; by default, they are at the URL itself. */
  readonly locate?: (url: string) => Promise<string>;
}

/**
 * The keys that an issuer publishes (`jwks_uri` of OpenID Connect Discovery). The last good answer is kept in the
 * database and used until the issuer gives another one: while it cannot be reached, a withdrawn key stays valid. It is
 * asked
 *
 * - for a key that is not known: the token waits for the answer
 * - after `invalidate`, and for a token that finds keys of five minutes or older: tokens do not wait
 *
 * and at most once in ten seconds, and once more after `invalidate`. An answer may take five seconds and have 64 KiB; a
 * redirect is not followed.
 */
export class KeyUrl implements KeySource {
  readonly #url: string;
  readonly #failing: RepeatedFailure;
  readonly #fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly #monotonic: () => number;
  readonly #locate: (url: string) => Promise<string>;
  readonly #save: (document: string) => void;
  #keys = NO_KEYS;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Tokens of unknown keys, which anybody can send, do not delay what an event causes. */
  #askedForEventAt = Number.NEGATIVE_INFINITY;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #isInvalidated = false;
  #pending: Promise<void> | undefined;

  constructor(database: ServiceDatabase, url: string, log: Logger, options: UrlOptions = {}) {
    this.#url = url;
    this.#fetch = options.fetch ?? fetch;
    this.#locate = options.locate ?? (async () => url);
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#failing = new RepeatedFailure({ monotonic: this.#monotonic }, log);
    const { sql } = database;
    const save = sql.prepare(
      "INSERT INTO jwks_cache (url, document) VALUES (?, ?) ON CONFLICT DO UPDATE SET document = excluded.document",
    );
    this.#save = (document) => void save.run(url, document);
    const stored = sql
      .query<{ document: string }, [string]>("SELECT document FROM jwks_cache WHERE url = ?")
      .get(url);
    if (stored !== null) this.#keys = parseJwks(stored.document);
  }

  current(keyId: string): VerificationKey | undefined {
    if (this.#isInvalidated || this.#monotonic() - this.#answeredAt >= MAX_AGE_MS) void this.#refresh();
    return this.#keys.get(keyId);
  }

  async find(keyId: string): Promise<VerificationKey | undefined> {
    const known = this.current(keyId);
    if (known !== undefined) return known;
    await this.#refresh();
    return this.#keys.get(keyId);
  }

  invalidate(): void {
    this.#isInvalidated = true;
    // Not only with the next token: that one would still be verified with the former keys. And not before the answer to a
    // request under way, which may be older than the event.
    void Promise.resolve(this.#pending).then(() => this.#refresh());
  }

  /** Never rejects. */
  #refresh(): Promise<void> {
    if (this.#pending !== undefined) return this.#pending;
    const now = this.#monotonic();
    if (this.#isInvalidated && now - this.#askedForEventAt >= COOLDOWN_MS) this.#askedForEventAt = now;
    else if (now - this.#askedAt >= COOLDOWN_MS) this.#askedAt = now;
    else return Promise.resolve();
    const wasInvalidated = this.#isInvalidated;
    // An event that arrives from now on may be newer than the answer.
    this.#isInvalidated = false;
    this.#pending = this.#load(now)
      .catch((error: unknown) => {
        this.#isInvalidated ||= wasInvalidated;
        const text = "the issuer's keys cannot be fetched: those fetched before stay";
        this.#failing.failed("", error, { url: this.#url }, text);
      })
      .finally(() => {
        this.#pending = undefined;
      });
    return this.#pending;
  }

  async #load(now: number): Promise<void> {
    const response = await this.#fetch(await this.#locate(this.#url), {
      // A proxy between may have the set as it was before a withdrawal (RFC 9111 §5.2.1.4).
      headers: { accept: "application/jwk-set+json, application/json", "cache-control": "no-cache" },
      redirect: "error",
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    });
    if (response.status !== 200) throw new TypeError(`status ${response.status}`);
    const document = await boundedText(response);
    const keys = parseJwks(document);
    // An empty set is more likely a mistake of the issuer than its wish to refuse everybody.
    if (keys.size === 0) throw new TypeError("no key that can verify tokens");
    this.#keys = keys;
    this.#answeredAt = now;
    this.#failing.over("", { url: this.#url }, "the issuer's keys can be fetched again");
    this.#save(document);
  }
}

/** @throws TypeError when the body is larger than a key set may be */
async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_JWKS_BYTES) throw new TypeError(`larger than ${MAX_JWKS_BYTES} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
}
