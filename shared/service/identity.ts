import {
  type Handler,
  type MessageDefinition,
  type Migration,
  migrate,
  on,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import type { TSchema } from "@sinclair/typebox";
import {
  calculateJwkThumbprint,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWTHeaderParameters,
  jwtVerify,
  SignJWT,
} from "jose";
import { ServiceError } from "./errors.ts";

export type Role = "customer" | "admin";

/** Who sent a request. */
interface Identity {
  readonly customerId: string;
  readonly role: Role;
}

/** An identity that a token proves, until the token expires. */
interface VerifiedIdentity extends Identity {
  /** Milliseconds since the epoch. A WebSocket must be closed then: its token is checked only when it opens. */
  readonly expiresAt: number;
}

/** An Ed25519 public key (RFC 8037 §2). */
export interface PublicJwk {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly x: string;
}

export interface PrivateJwk extends PublicJwk {
  readonly d: string;
}

export interface SigningKey {
  /** The RFC 7638 thumbprint of the public key: the same key has the same id everywhere. */
  readonly keyId: string;
  readonly privateJwk: PrivateJwk;
  readonly publicJwk: PublicJwk;
}

/** Finds a public key by its id; undefined when no such key has been published (yet). */
export type KeyLookup = (keyId: string) => PublicJwk | undefined;

/** The claims that all tokens of one system share (RFC 7519 §4.1). */
interface TokenClaims {
  readonly issuer: string;
  readonly audience: string;
}

const CLOCK_TOLERANCE_S = 5;
/** A token of `issueToken` has about 300 characters. */
const MAX_TOKEN_CHARACTERS = 2048;
const IDENTIFIER = /^[A-Za-z0-9_-]{1,64}$/;

/** Generates a key to sign tokens with. Only the service that signs may read the private half. */
export async function generateSigningKey(): Promise<SigningKey> {
  const pair = await generateKeyPair("Ed25519", { extractable: true });
  const { x, d } = await exportJWK(pair.privateKey);
  if (x === undefined || d === undefined)
    throw new TypeError("an Ed25519 key has both x and d (RFC 8037 §2)");
  const publicJwk: PublicJwk = { kty: "OKP", crv: "Ed25519", x };
  return {
    keyId: await calculateJwkThumbprint({ ...publicJwk }),
    publicJwk,
    privateJwk: { ...publicJwk, d },
  };
}

interface TokenRequest extends Identity, TokenClaims {
  readonly keyId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly ttlS: number;
}

/** Signs a JWT (RFC 7519, EdDSA) that identifies its bearer for `ttlS` seconds. */
export async function issueToken(privateKey: PrivateJwk, request: TokenRequest): Promise<string> {
  const issuedAtS = Math.floor(request.now / 1000);
  const key = await importJWK({ ...privateKey }, "EdDSA");
  return new SignJWT({ role: request.role })
    .setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid: request.keyId })
    .setSubject(request.customerId)
    .setIssuer(request.issuer)
    .setAudience(request.audience)
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + request.ttlS)
    .sign(key);
}

interface CheckedToken {
  readonly identity: VerifiedIdentity;
  readonly keyId: string;
  /** The key that the signature was checked with. */
  readonly x: string;
}

const MAX_CACHED_TOKENS = 4096;

/** Verifies tokens of one issuer for one audience. */
export class TokenVerifier {
  readonly #claims: TokenClaims;
  readonly #findKey: KeyLookup;
  /**
   * Tokens whose signature was valid. Checking a signature takes 0.1 ms of CPU, more than the rest of a request,
   * and a valid signature stays valid; key and expiry are checked again each time.
   */
  readonly #checked = new Map<string, CheckedToken>();

  constructor(claims: TokenClaims, findKey: KeyLookup) {
    this.#claims = claims;
    this.#findKey = findKey;
  }

  /**
   * Checks a token's signature (EdDSA and nothing else), issuer, audience and expiry, the last with five seconds
   * of tolerance for clock skew.
   *
   * @param now milliseconds since the epoch
   * @throws ServiceError unauthorized: token-invalid | token-expired
   */
  async verify(token: string, now: number): Promise<VerifiedIdentity> {
    const cached = this.#checked.get(token);
    if (cached !== undefined && this.#stillHolds(cached, now)) return cached.identity;
    const checked = await this.#check(token, now);
    if (this.#checked.size >= MAX_CACHED_TOKENS) {
      this.#checked.delete(this.#checked.keys().next().value ?? "");
    }
    this.#checked.set(token, checked);
    return checked.identity;
  }

  #stillHolds({ identity, keyId, x }: CheckedToken, now: number): boolean {
    return this.#findKey(keyId)?.x === x && now < identity.expiresAt + CLOCK_TOLERANCE_S * 1000;
  }

  async #check(token: string, now: number): Promise<CheckedToken> {
    if (token.length > MAX_TOKEN_CHARACTERS) throw invalidToken();
    try {
      let used = { keyId: "", x: "" };
      const findKey = ({ kid: keyId }: JWTHeaderParameters) => {
        const jwk = keyId === undefined ? undefined : this.#findKey(keyId);
        if (keyId === undefined || jwk === undefined) throw invalidToken();
        used = { keyId, x: jwk.x };
        return importJWK({ ...jwk }, "EdDSA");
      };
      const { payload } = await jwtVerify(token, findKey, {
        ...this.#claims,
        algorithms: ["EdDSA"],
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ["exp", "sub"],
        currentDate: new Date(now),
      });
      const { sub, role, exp } = payload;
      if (sub === undefined || exp === undefined || !IDENTIFIER.test(sub)) throw invalidToken();
      if (role !== "customer" && role !== "admin") throw invalidToken();
      return { identity: { customerId: sub, role, expiresAt: exp * 1000 }, ...used };
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw new ServiceError("unauthorized", "token-expired", "The token has expired. Sign in again.");
      }
      // The exact reason would help only somebody who forges tokens.
      throw invalidToken();
    }
  }
}

function invalidToken(): ServiceError {
  return new ServiceError("unauthorized", "token-invalid", "The token is not valid. Sign in again.");
}

const migrations: readonly Migration[] = [
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
];

/** The event that publishes the public half of a signing key. */
type SigningKeyDefinition = MessageDefinition<
  string,
  TSchema & { static: { readonly keyId: string; readonly publicKey: PublicJwk } }
>;

/**
 * A service's own projection of the published signing keys. With it the service verifies tokens by itself, also
 * while their issuer is down. Until the first key arrives, every token is invalid.
 */
export class SigningKeys {
  /** Maintains the projection: one of the service's message handlers. */
  readonly handler: Handler;
  /** Verifies tokens that were signed with a published key. */
  readonly verifier: TokenVerifier;

  /**
   * @param published the event that a key is published with
   * @throws MigrationMismatch when the database was made by another version
   */
  constructor(database: ServiceDatabase, published: SigningKeyDefinition, claims: TokenClaims) {
    migrate(database, "signing-keys", migrations);
    const { sql } = database;
    const save = sql.prepare(
      "INSERT INTO signing_keys (key_id, x) VALUES (?, ?) ON CONFLICT DO UPDATE SET x = excluded.x",
    );
    const read = sql.prepare<{ x: string }, [string]>("SELECT x FROM signing_keys WHERE key_id = ?");
    this.handler = on(published, ({ data: { keyId, publicKey } }) => {
      save.run(keyId, publicKey.x);
    });
    this.verifier = new TokenVerifier(claims, (keyId) => {
      const row = read.get(keyId);
      return row === null ? undefined : { kty: "OKP", crv: "Ed25519", x: row.x };
    });
  }
}

/** The WebSocket subprotocol that carries a token: a browser cannot set headers on a WebSocket. */
const BEARER_SUBPROTOCOL = "bearer";

/**
 * Identifies the sender of a request by the token in `Authorization: Bearer`; for a WebSocket also in
 * `Sec-WebSocket-Protocol: bearer, <token>` or `?token=`.
 *
 * @throws ServiceError unauthorized: token-missing | token-invalid | token-expired
 */
export async function authenticate(
  request: Request,
  verifier: TokenVerifier,
  now: number = Date.now(),
): Promise<VerifiedIdentity> {
  const token = bearerToken(request);
  if (token === undefined) {
    throw new ServiceError(
      "unauthorized",
      "token-missing",
      "Sign in and send Authorization: Bearer <token>.",
    );
  }
  return verifier.verify(token, now);
}

/** @throws ServiceError forbidden unless the role is admin */
export function requireAdmin(identity: Identity): void {
  if (identity.role !== "admin")
    throw new ServiceError("forbidden", "admin-only", "Only an admin may do this.");
}

function bearerToken(request: Request): string | undefined {
  const header = request.headers.get("authorization");
  // RFC 9110 §11.1: the scheme's name is case-insensitive.
  if (header !== null) return /^bearer +(\S+)$/i.exec(header.trim())?.[1] ?? "";
  // Only a WebSocket may carry it elsewhere: URLs end up in browser histories and access logs.
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
  const [protocol, token] = (request.headers.get("sec-websocket-protocol") ?? "")
    .split(",")
    .map((part) => part.trim());
  if (protocol === BEARER_SUBPROTOCOL && token !== undefined) return token;
  return new URL(request.url).searchParams.get("token") ?? undefined;
}

/**
 * The header that accepts the `bearer` subprotocol, for the `upgrade` of a WebSocket route: a browser closes
 * a connection whose subprotocol was not accepted. Empty when none was offered.
 */
export function acceptSubprotocol(request: Request): Record<string, string> {
  const offered = request.headers.get("sec-websocket-protocol");
  return offered?.split(",")[0]?.trim() === BEARER_SUBPROTOCOL
    ? { "sec-websocket-protocol": BEARER_SUBPROTOCOL }
    : {};
}
