import { createPrivateKey, createPublicKey } from "node:crypto";
import { existsSync } from "node:fs";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { createFile } from "./files.ts";
import { thumbprintOf } from "./jwks.ts";

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

/** Creates the file with a new key, readable by its owner only, unless there is one. */
export async function ensureSigningKeyFile(path: string): Promise<void> {
  if (existsSync(path)) return;
  const { privateJwk } = await generateSigningKey();
  createFile(path, JSON.stringify(privateJwk), 0o600);
}

/** @throws TypeError, which does not quote the text, when it is no private Ed25519 JWK or its halves do not belong together */
export function parseSigningKey(text: string): SigningKey {
  try {
    const { kty, crv, x, d } = JSON.parse(text);
    if (kty === "OKP" && crv === "Ed25519" && typeof x === "string" && typeof d === "string") {
      const publicJwk: PublicJwk = { kty, crv, x };
      const privateJwk: PrivateJwk = { ...publicJwk, d };
      const derived = createPublicKey(createPrivateKey({ key: { ...privateJwk }, format: "jwk" }));
      if (derived.export({ format: "jwk" }).x === x) {
        return { keyId: thumbprintOf(publicJwk), publicJwk, privateJwk };
      }
    }
  } catch {
    // The error may quote the text.
  }
  throw new TypeError("expected a private Ed25519 key as a JWK");
}
