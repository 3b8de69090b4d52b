import {
  calculateJwkThumbprint,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  jwtVerify,
  SignJWT,
} from "jose";
import { ServiceError } from "./errors.ts";

export type Role = "customer" | "admin";

/** Who asks. */
export interface Identity {
  readonly customerId: string;
  readonly role: Role;
}

/** Who asks, and until when that holds. */
export interface Verified extends Identity {
  /** Milliseconds since the epoch; a WebSocket outlives the check at its opening. */
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

/** Finds the public key of an id; undefined for one that nobody published (yet). */
export type KeyLookup = (keyId: string) => PublicJwk | undefined;

const ISSUER = "distributed-messaging";
const AUDIENCE = "distributed-messaging";
const CLOCK_TOLERANCE_S = 5;
/** Ours have about 300 characters. */
const MAX_TOKEN_CHARACTERS = 2048;
const IDENTIFIER = /^[A-Za-z0-9_-]{1,64}$/;

/** Makes a new key to sign tokens with. The private half must be kept where only its service reads it. */
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

export interface TokenRequest extends Identity {
  readonly keyId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly ttlS: number;
}

/** Signs a JWT (RFC 7519, EdDSA) that says who its bearer is for `ttlS` seconds. */
export async function issueToken(privateKey: PrivateJwk, request: TokenRequest): Promise<string> {
  const issuedAtS = Math.floor(request.now / 1000);
  const key = await importJWK({ ...privateKey }, "EdDSA");
  return new SignJWT({ role: request.role })
    .setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid: request.keyId })
    .setSubject(request.customerId)
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + request.ttlS)
    .sign(key);
}

/**
 * Checks a token's signature (EdDSA and nothing else), issuer, audience and expiry, the last with five seconds
 * of tolerance for clocks that differ.
 *
 * @param now milliseconds since the epoch
 * @throws ServiceError unauthorized: token-invalid | token-expired
 */
export async function verifyToken(token: string, keys: KeyLookup, now: number): Promise<Verified> {
  if (token.length > MAX_TOKEN_CHARACTERS) throw invalidToken();
  try {
    const { payload } = await jwtVerify(token, ({ kid }) => publicKey(kid, keys), {
      algorithms: ["EdDSA"],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ["exp", "sub"],
      currentDate: new Date(now),
    });
    const { sub, role, exp } = payload;
    if (sub === undefined || exp === undefined || !IDENTIFIER.test(sub)) throw invalidToken();
    if (role !== "customer" && role !== "admin") throw invalidToken();
    return { customerId: sub, role, expiresAt: exp * 1000 };
  } catch (error) {
    if (error instanceof errors.JWTExpired) {
      throw new ServiceError("unauthorized", "token-expired", "The token has expired. Sign in again.");
    }
    // Why exactly is of use only to somebody who is forging one.
    throw invalidToken();
  }
}

async function publicKey(keyId: string | undefined, keys: KeyLookup) {
  const jwk = keyId === undefined ? undefined : keys(keyId);
  if (jwk === undefined) throw invalidToken();
  return importJWK({ ...jwk }, "EdDSA");
}

/** The WebSocket subprotocol under which a browser, which cannot set headers there, offers its token. */
export const BEARER_SUBPROTOCOL = "bearer";

/**
 * Who sends this request. The token is taken from `Authorization: Bearer`; for a WebSocket also from
 * `Sec-WebSocket-Protocol: bearer, <token>` or `?token=`.
 *
 * @throws ServiceError unauthorized: token-missing | token-invalid | token-expired
 */
export async function authenticate(
  request: Request,
  keys: KeyLookup,
  now: number = Date.now(),
): Promise<Verified> {
  const token = bearerToken(request);
  if (token === undefined) {
    throw new ServiceError(
      "unauthorized",
      "token-missing",
      "Sign in and send Authorization: Bearer <token>.",
    );
  }
  return verifyToken(token, keys, now);
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
  // Not for other requests: addresses end up in histories and in other people's logs.
  if (!isWebSocketUpgrade(request)) return undefined;
  const [protocol, token] = (request.headers.get("sec-websocket-protocol") ?? "")
    .split(",")
    .map((part) => part.trim());
  if (protocol === BEARER_SUBPROTOCOL && token !== undefined) return token;
  return new URL(request.url).searchParams.get("token") ?? undefined;
}

/** Whether a request asks to become a WebSocket (RFC 6455 §4.2.1). */
export function isWebSocketUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
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

function invalidToken(): ServiceError {
  return new ServiceError("unauthorized", "token-invalid", "The token is not valid. Sign in again.");
}
