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
import { ServiceError } from "../errors.ts";

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
  const known = recent.get(token);
  if (known !== undefined && stillHolds(known, keys, now)) return known.verified;
  const answer = await checkToken(token, keys, now);
  if (recent.size >= MAX_RECENT) recent.delete(recent.keys().next().value ?? "");
  recent.set(token, answer);
  return answer.verified;
}

interface Checked {
  readonly verified: Verified;
  readonly keyId: string;
  /** The key that the signature was checked with. */
  readonly x: string;
}

/**
 * Tokens whose signatures were good. Checking one takes a tenth of a millisecond of the processor, more than
 * all the rest of a request, and a signature that was good once stays good; the key and the time are looked
 * at again.
 */
const recent = new Map<string, Checked>();
const MAX_RECENT = 4096;

function stillHolds({ verified, keyId, x }: Checked, keys: KeyLookup, now: number): boolean {
  return keys(keyId)?.x === x && now < verified.expiresAt + CLOCK_TOLERANCE_S * 1000;
}

async function checkToken(token: string, keys: KeyLookup, now: number): Promise<Checked> {
  if (token.length > MAX_TOKEN_CHARACTERS) throw invalidToken();
  try {
    let used = { keyId: "", x: "" };
    const findKey = ({ kid: keyId }: JWTHeaderParameters) => {
      const jwk = keyId === undefined ? undefined : keys(keyId);
      if (keyId === undefined || jwk === undefined) throw invalidToken();
      used = { keyId, x: jwk.x };
      return importJWK({ ...jwk }, "EdDSA");
    };
    const { payload } = await jwtVerify(token, findKey, {
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
    return { verified: { customerId: sub, role, expiresAt: exp * 1000 }, ...used };
  } catch (error) {
    if (error instanceof errors.JWTExpired) {
      throw new ServiceError("unauthorized", "token-expired", "The token has expired. Sign in again.");
    }
    // Why exactly is of use only to somebody who is forging one.
    throw invalidToken();
  }
}

function invalidToken(): ServiceError {
  return new ServiceError("unauthorized", "token-invalid", "The token is not valid. Sign in again.");
}
