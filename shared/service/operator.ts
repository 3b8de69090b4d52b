import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";
import type { CommonConfig } from "./config.ts";
import { createFile } from "./files.ts";
import { isRecord, thumbprintOf, type VerificationKey, verificationKey } from "./jwks.ts";

/*
 * The way in for operators that depends on no issuer, no broker and no other service. Whoever can read the private key
 * in the data directory, that is, the owner of the databases, is an admin of the services that use that directory.
 */

/** The claims of every operator's token. */
export const operatorClaims = { issuer: "operator", audience: "operator" } as const;
const TOKEN_TTL_S = 5 * 60;

type OperatorSettings = Pick<CommonConfig, "OPERATOR_KEY_FILE" | "DATA_DIR">;

/** The file of the key, a JWK. A service needs the public half only; the commands of operators need both. */
export function operatorKeyPath({ OPERATOR_KEY_FILE, DATA_DIR }: OperatorSettings): string {
  return OPERATOR_KEY_FILE ?? join(DATA_DIR, "operator.jwk");
}

/**
 * Creates the file with a new Ed25519 key, readable by its owner only, unless there is one: then nothing is written, and
 * the directory may be read-only. Of several processes that do this at the same time, one creates it.
 */
export async function ensureOperatorKey(path: string): Promise<void> {
  if (existsSync(path)) return;
  const pair = await generateKeyPair("Ed25519", { extractable: true });
  createFile(path, JSON.stringify(await exportJWK(pair.privateKey)), 0o600);
}

/** The verification key of the file, under its thumbprint. @throws TypeError when the text is no Ed25519 JWK */
export function parseOperatorKey(text: string): ReadonlyMap<string, VerificationKey> {
  const { kty, crv, x } = parseJwk(text);
  const keyId = thumbprintOf({ kty, crv, x });
  const key = verificationKey({ kty, crv, x, kid: keyId });
  if (key === undefined) throw new TypeError("not an Ed25519 JWK");
  return new Map([[keyId, key]]);
}

/**
 * A token that makes its bearer an admin for five minutes. Actions are recorded under `operator-<user>`.
 *
 * @returns undefined when there is no such file
 * @throws TypeError when the file has no private Ed25519 key; Error when it cannot be read
 */
export async function operatorToken(path: string, now = Date.now()): Promise<string | undefined> {
  const text = textOf(path);
  if (text === undefined) return undefined;
  const { d, ...publicJwk } = parseJwk(text);
  if (d === undefined) throw new TypeError("the file has no private key");
  const issuedAtS = Math.floor(now / 1000);
  const user = userInfo()
    .username.replace(/[^A-Za-z0-9_-]/g, "_")
    .slice(0, 50);
  return new SignJWT()
    .setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid: thumbprintOf(publicJwk) })
    .setSubject(`operator-${user}`)
    .setIssuer(operatorClaims.issuer)
    .setAudience(operatorClaims.audience)
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + TOKEN_TTL_S)
    .sign(await importJWK({ ...publicJwk, d }, "EdDSA"));
}

function parseJwk(text: string): { kty: "OKP"; crv: "Ed25519"; x: string; d?: string } {
  let jwk: unknown;
  try {
    jwk = JSON.parse(text);
  } catch {
    // The error of JSON.parse quotes the text.
    throw new TypeError("not JSON");
  }
  if (!isRecord(jwk) || jwk.kty !== "OKP" || jwk.crv !== "Ed25519" || typeof jwk.x !== "string") {
    throw new TypeError("not an Ed25519 JWK");
  }
  return { kty: "OKP", crv: "Ed25519", x: jwk.x, ...(typeof jwk.d === "string" ? { d: jwk.d } : {}) };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
