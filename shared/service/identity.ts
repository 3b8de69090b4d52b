import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  DomainError,
  type Handler,
  type Logger,
  type MessageDefinition,
  on,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import type { TSchema } from "@sinclair/typebox";
import { decodeProtectedHeader, errors, importJWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import type { CommonConfig } from "./config.ts";
import { ServiceError } from "./errors.ts";
import { discoverIssuer } from "./issuer.ts";
import {
  isRecord,
  KeyFile,
  type KeySource,
  KeyUrl,
  migrateKeys,
  thumbprintOf,
  type VerificationKey,
} from "./jwks.ts";
import { operatorClaims, operatorKeyPath, parseOperatorKey } from "./operator.ts";
import type { PrivateJwk, PublicJwk } from "./signing-key.ts";

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
  /** Whether the token would be accepted again: it may have expired, or its key may have been withdrawn. */
  stillHolds(now: number): boolean;
}

/** What a token says of its bearer. */
type TokenIdentity = Omit<VerifiedIdentity, "stillHolds">;

/** The claims that all tokens of one system share (RFC 7519 §4.1). */
interface TokenClaims {
  readonly issuer: string;
  readonly audience: string;
}

/** How the tokens of an issuer that knows nothing of the store's roles say which one their bearer has. */
interface RoleMapping {
  /** The name of a claim, or the names of claims in each other, joined by dots. */
  readonly claim: string;
  /** The value that makes an admin: of the claim, among its values, or among its words. */
  readonly admin: string;
}

/** What a token must have, and how it is read. Without a mapping, it has the claim `role` of `issueToken`. */
interface AcceptedTokens extends TokenClaims {
  readonly roles?: RoleMapping;
}

const CLOCK_TOLERANCE_S = 5;
/** A token of `issueToken` has about 300 characters, one of an issuer with many claims some thousand. */
const MAX_TOKEN_CHARACTERS = 8192;
const IDENTIFIER = /^[A-Za-z0-9_-]{1,64}$/;
/** How the ids of operators begin, and of nobody else. */
const OPERATOR_ID = "operator-";

interface TokenRequest extends Identity, TokenClaims {
  readonly keyId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly ttlS: number;
}

/**
 * Signs a JWT (RFC 7519, EdDSA) that identifies its bearer for `ttlS` seconds.
 *
 * @throws ServiceError invalid: customer-id-reserved
 */
export async function issueToken(privateKey: PrivateJwk, request: TokenRequest): Promise<string> {
  if (request.customerId.startsWith(OPERATOR_ID)) {
    throw new ServiceError(
      "invalid",
      "customer-id-reserved",
      `A customer's id does not start with ${OPERATOR_ID}: under these, the actions of operators are recorded.`,
    );
  }
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
  readonly identity: TokenIdentity;
  /** Where the key is, and which one the signature was checked with. */
  readonly source: KeySource;
  readonly keyId: string;
  readonly fingerprint: string;
}

const MAX_CACHED_TOKENS = 4096;

/** Verifies tokens of one issuer for one audience, and those of operators. */
export class TokenVerifier {
  readonly #accepted: AcceptedTokens;
  readonly #keys: KeySource;
  readonly #operatorKeys: KeySource | undefined;
  /**
   * Tokens whose signature was valid. Checking a signature takes 0.1 ms of CPU, more than the rest of a request,
   * and a valid signature stays valid; key and expiry are checked again each time.
   */
  readonly #checked = new Map<string, VerifiedIdentity>();

  /** @param operatorKeys the keys of `operatorToken`, which make their bearer an admin */
  constructor(accepted: AcceptedTokens, keys: KeySource, operatorKeys?: KeySource) {
    this.#accepted = accepted;
    this.#keys = keys;
    this.#operatorKeys = operatorKeys;
  }

  /**
   * Checks a token's signature with the algorithm of its key and no other, its issuer, audience and expiry, the last
   * with five seconds of tolerance for clock skew.
   *
   * @param now milliseconds since the epoch
   * @throws ServiceError unauthorized: token-invalid | token-expired
   */
  async verify(token: string, now: number): Promise<VerifiedIdentity> {
    const cached = this.#checked.get(token);
    if (cached?.stillHolds(now)) return cached;
    this.#checked.delete(token);
    const { identity, source, keyId, fingerprint } = await this.#check(token, now);
    const verified: VerifiedIdentity = {
      ...identity,
      stillHolds: (at) =>
        source.current(keyId)?.fingerprint === fingerprint &&
        at < identity.expiresAt + CLOCK_TOLERANCE_S * 1000,
    };
    if (this.#checked.size >= MAX_CACHED_TOKENS) {
      this.#checked.delete(this.#checked.keys().next().value ?? "");
    }
    this.#checked.set(token, verified);
    return verified;
  }

  async #check(token: string, now: number): Promise<CheckedToken> {
    if (token.length > MAX_TOKEN_CHARACTERS) throw invalidToken();
    try {
      const { kid: keyId } = decodeProtectedHeader(token);
      if (typeof keyId !== "string") throw invalidToken();
      // First: an issuer cannot take the place of the operators with a key of the same id.
      const operatorKey = this.#operatorKeys?.current(keyId);
      if (this.#operatorKeys !== undefined && operatorKey !== undefined) {
        const payload = await verifyClaims(token, operatorKey, operatorClaims, now);
        const identity = identityOf({ ...payload, role: "admin" });
        return { identity, source: this.#operatorKeys, keyId, fingerprint: operatorKey.fingerprint };
      }
      const key = await this.#keys.find(keyId);
      if (key === undefined) throw invalidToken();
      const { roles } = this.#accepted;
      const payload = await verifyClaims(token, key, this.#accepted, now);
      const identity = identityOf(roles === undefined ? payload : mapped(payload, roles));
      if (identity.customerId.startsWith(OPERATOR_ID)) throw invalidToken();
      return { identity, source: this.#keys, keyId, fingerprint: key.fingerprint };
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw new ServiceError("unauthorized", "token-expired", "The token has expired. Sign in again.");
      }
      // The exact reason would help only somebody who forges tokens.
      throw invalidToken();
    }
  }
}

async function verifyClaims(
  token: string,
  key: VerificationKey,
  { issuer, audience }: TokenClaims,
  now: number,
): Promise<JWTPayload> {
  const { payload } = await jwtVerify(token, await key.cryptoKey(), {
    issuer,
    audience,
    algorithms: [key.algorithm],
    clockTolerance: CLOCK_TOLERANCE_S,
    requiredClaims: ["exp", "sub"],
    currentDate: new Date(now),
  });
  return payload;
}

/** OpenID Connect Core §2: a subject has at most 255 characters. */
const MAX_SUBJECT_CHARACTERS = 255;
const DERIVED_ID = "sha256-";

/** The claims in the store's own terms. */
function mapped(payload: JWTPayload, { claim, admin }: RoleMapping): JWTPayload {
  const { sub } = payload;
  const isAdmin = valuesOf(payload, claim).includes(admin);
  return {
    ...payload,
    role: isAdmin ? "admin" : "customer",
    ...(typeof sub === "string" ? { sub: customerIdOf(sub) } : {}),
  };
}

function valuesOf(payload: JWTPayload, claim: string): readonly unknown[] {
  // A name may have dots itself, as that of https://shop.example/roles.
  const value =
    payload[claim] ??
    claim
      .split(".")
      .reduce<unknown>(
        (at, name) => (isRecord(at) && Object.hasOwn(at, name) ? at[name] : undefined),
        payload,
      );
  if (typeof value === "string") return [value, ...value.split(" ")];
  return Array.isArray(value) ? value : [];
}

/**
 * The id under which the store knows a subject: the subject itself, or its hash where it is no identifier of the store.
 * A subject that looks like a hash is hashed, too, so that no other can have its id; and one that looks like an operator,
 * whose actions would be recorded as those of an operator.
 */
function customerIdOf(sub: string): string {
  if (sub === "" || sub.length > MAX_SUBJECT_CHARACTERS || !sub.isWellFormed()) throw invalidToken();
  const isReserved = [DERIVED_ID, OPERATOR_ID].some((start) => sub.startsWith(start));
  if (IDENTIFIER.test(sub) && !isReserved) return sub;
  return `${DERIVED_ID}${createHash("sha256").update(sub).digest("base64url")}`;
}

/** @throws ServiceError unauthorized */
function identityOf({ sub, role, exp }: JWTPayload): TokenIdentity {
  // A pattern accepts ["X"] as "X".
  if (typeof sub !== "string" || exp === undefined || !IDENTIFIER.test(sub)) throw invalidToken();
  if (role !== "customer" && role !== "admin") throw invalidToken();
  return { customerId: sub, role, expiresAt: exp * 1000 };
}

function invalidToken(): ServiceError {
  return new ServiceError("unauthorized", "token-invalid", "The token is not valid. Sign in again.");
}

/** The event that announces a signing key. */
type SigningKeyDefinition = MessageDefinition<
  string,
  TSchema & { static: { readonly keyId: string; readonly publicKey: PublicJwk } }
>;

type KeySettings = Pick<
  CommonConfig,
  | "AUTH_ISSUER"
  | "AUTH_AUDIENCE"
  | "AUTH_ROLE_CLAIM"
  | "AUTH_ADMIN_ROLE"
  | "AUTH_JWKS_URL"
  | "AUTH_JWKS_FILE"
  | "OPERATOR_KEY_FILE"
  | "DATA_DIR"
>;

/** The file of the keys that verify tokens where no issuer's URL is set. The service that signs tokens writes it. */
export function jwksPath({
  AUTH_JWKS_FILE,
  DATA_DIR,
}: Pick<KeySettings, "AUTH_JWKS_FILE" | "DATA_DIR">): string {
  return AUTH_JWKS_FILE ?? join(DATA_DIR, "jwks.json");
}

function keySource(database: ServiceDatabase, config: KeySettings, log: Logger): KeySource {
  const { AUTH_JWKS_URL: url, AUTH_ISSUER: issuer } = config;
  if (url !== undefined) return new KeyUrl(database, url, log);
  // The file has the store's own keys, which must not stand for those of an issuer.
  if (issuer === undefined) return new KeyFile(jwksPath(config), log);
  const locate = async () => (await discoverIssuer(issuer)).jwksUri;
  return new KeyUrl(database, issuer, log, { locate });
}

/**
 * The keys with which a service verifies tokens by itself, also while their issuer is down: from the URL or the file
 * of its settings, or from where the issuer's metadata says, never from a message.
 */
export class VerificationKeys {
  readonly verifier: TokenVerifier;
  readonly #keys: KeySource;

  /**
   * @param own the claims of the store's own tokens, which are accepted where the settings name no issuer
   * @throws MigrationMismatch when the database was made by another version
   */
  constructor(database: ServiceDatabase, config: KeySettings, own: TokenClaims, log: Logger) {
    migrateKeys(database);
    this.#keys = keySource(database, config, log);
    const operatorKeys = new KeyFile(operatorKeyPath(config), log, parseOperatorKey);
    const { AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience } = config;
    const roles = { claim: config.AUTH_ROLE_CLAIM, admin: config.AUTH_ADMIN_ROLE };
    const accepted =
      issuer === undefined || audience === undefined
        ? own
        : ({ issuer, audience, roles } satisfies AcceptedTokens);
    this.verifier = new TokenVerifier(accepted, this.#keys, operatorKeys);
  }

  /**
   * Handles the event that keys have changed: the issuer is asked for them soon. The key in it is not used, so whoever
   * can send it gains nothing. One whose id is not its thumbprint (RFC 7638) is refused: its sender is not the issuer.
   */
  handler(published: SigningKeyDefinition): Handler {
    return on(published, ({ data: { keyId, publicKey } }) => {
      if (keyId !== thumbprintOf(publicKey))
        throw new DomainError("the key id is not the thumbprint of the key");
      this.#keys.invalidate();
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
