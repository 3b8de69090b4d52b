import { readFileSync } from "node:fs";
import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction, UnitOfWork } from "@distributed-messaging/messaging";
import { ServiceError, StartError } from "@distributed-messaging/service/errors";
import { replaceFile } from "@distributed-messaging/service/files";
import {
  generateSigningKey,
  issueToken,
  type PublicJwk,
  type Role,
  type SigningKey,
  signingKeyOf,
} from "@distributed-messaging/service/identity";
import { and, eq, gt, or } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

const tokenKeys = sqliteTable("token_keys", {
  keyId: text("key_id").primaryKey(),
  publicKey: text("public_key", { mode: "json" }).$type<PublicJwk>().notNull(),
  privateKey: text("private_key", { mode: "json" }).$type<SigningKey["privateJwk"]>(),
  state: text("state", { enum: ["current", "retired", "withdrawn"] }).notNull(),
  /** Milliseconds since the epoch; 0 for a key that is older than this table. */
  createdAt: integer("created_at").notNull(),
  /** Milliseconds since the epoch; of a retired key only. */
  verifiesUntil: integer("verifies_until"),
});

/** How long a token is valid; then its customer signs in again. */
const TOKEN_TTL_S = 60 * 60;
/** A retired key is published for longer than its tokens are valid: clocks differ. */
const RETIRED_FOR_MS = (TOKEN_TTL_S + 60) * 1000;

interface Session {
  readonly token: string;
  readonly customerId: string;
  readonly role: Role;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** A key as operators see it. */
export interface ShownSigningKey {
  readonly keyId: string;
  readonly state: "current" | "retired" | "withdrawn";
  /** RFC 3339. */
  readonly createdAt: string;
  /** RFC 3339; of a retired key only. */
  readonly verifiesUntil?: string;
}

/** A public key of a JSON Web Key Set (RFC 7517 §4). */
type PublishedJwk = PublicJwk & { readonly kid: string; readonly use: "sig"; readonly alg: "EdDSA" };

interface SessionsOptions {
  /** Where the public keys are published for the other services of this machine. */
  readonly jwksFile: string;
  /** The private JWK that signs, in place of one that is generated; or the file that has it. */
  readonly signingKey: string | undefined;
  readonly signingKeyFile: string | undefined;
}

/**
 * Signs the store's tokens, and publishes the keys that verify them. Private keys never leave this service; that of a
 * key that no longer signs is deleted.
 */
export class Sessions {
  readonly #database: ServiceDatabase;
  readonly #jwksFile: string;
  /** From the settings. */
  readonly #configured: SigningKey | undefined;
  #key: SigningKey | undefined;

  /** @throws StartError when the configured key cannot be read or cannot sign */
  constructor(database: ServiceDatabase, options: SessionsOptions) {
    this.#database = database;
    this.#jwksFile = options.jwksFile;
    this.#configured = configuredKey(options);
  }

  /**
   * Loads the key that signs, or stores a new one, and announces it: at every start, so that a broker that lost its
   * disk receives it again.
   *
   * @throws StartError when the configured key was withdrawn
   */
  async publishKey(unitOfWork: UnitOfWork, generate = generateSigningKey): Promise<void> {
    const generated = await generate();
    this.#key = await unitOfWork.run((transaction) => {
      const key = this.#configured ?? this.#stored() ?? generated;
      if (this.#state(key.keyId) === "withdrawn") {
        throw new StartError(`AUTH_SIGNING_KEY: the key ${key.keyId} was withdrawn; set another one`);
      }
      this.#makeCurrent(key, transaction);
      return key;
    });
  }

  /** Makes the file of the public keys what it should be. Other services read it for every token. */
  writeJwks(now: number): void {
    replaceFile(this.#jwksFile, JSON.stringify(this.jwks(now)), 0o644);
  }

  /** The JSON Web Key Set of every key that verifies tokens now. */
  jwks(now: number): { readonly keys: readonly PublishedJwk[] } {
    const published = or(
      eq(tokenKeys.state, "current"),
      and(eq(tokenKeys.state, "retired"), gt(tokenKeys.verifiesUntil, now)),
    );
    const rows = this.#database.orm.select().from(tokenKeys).where(published).orderBy(tokenKeys.keyId).all();
    return {
      keys: rows.map(({ keyId, publicKey }) => ({ ...publicKey, kid: keyId, use: "sig", alg: "EdDSA" })),
    };
  }

  /** Every key, oldest first. */
  keys(): ShownSigningKey[] {
    const rows = this.#database.orm
      .select()
      .from(tokenKeys)
      .orderBy(tokenKeys.createdAt, tokenKeys.keyId)
      .all();
    return rows.map(({ keyId, state, createdAt, verifiesUntil }) => ({
      keyId,
      state,
      createdAt: new Date(createdAt).toISOString(),
      ...(verifiesUntil === null ? {} : { verifiesUntil: new Date(verifiesUntil).toISOString() }),
    }));
  }

  /**
   * Signs with a new key from now on. The tokens of the former one stay valid until they expire.
   *
   * @returns the id of the new key
   * @throws ServiceError conflict when the key is a setting
   */
  async rotate(unitOfWork: UnitOfWork): Promise<string> {
    if (this.#configured !== undefined && this.#configured.keyId === this.#key?.keyId) {
      throw new ServiceError(
        "conflict",
        "key-configured",
        "AUTH_SIGNING_KEY is the key that signs. Set another one and start the service again.",
      );
    }
    const key = await generateSigningKey();
    await unitOfWork.run((transaction) => this.#makeCurrent(key, transaction));
    this.#signWith(key);
    return key.keyId;
  }

  /**
   * Ends the validity of every token of a key, at once and for good. When it is the key that signs, a new one takes
   * its place. Again: no change.
   *
   * @throws ServiceError not-found
   */
  async withdraw(keyId: string, unitOfWork: UnitOfWork): Promise<void> {
    const successor = await generateSigningKey();
    const wasCurrent = await unitOfWork.run((transaction) => {
      const state = this.#state(keyId);
      if (state === undefined) throw new ServiceError("not-found", "key-not-found", "There is no such key.");
      const withdrawn = { state: "withdrawn", privateKey: null, verifiesUntil: null } as const;
      this.#database.orm.update(tokenKeys).set(withdrawn).where(eq(tokenKeys.keyId, keyId)).run();
      if (state === "current") this.#makeCurrent(successor, transaction);
      // Services that fetch the keys do so when one is announced.
      else this.#announceCurrent(transaction);
      return state === "current";
    });
    if (wasCurrent) this.#signWith(successor);
    else this.writeJwks(Date.now());
  }

  async signIn(customerId: string, role: Role, now: number): Promise<Session> {
    if (this.#key === undefined) throw new Error("the signing key is not loaded yet");
    const { keyId, privateJwk } = this.#key;
    const token = await issueToken(privateJwk, {
      ...tokenClaims,
      keyId,
      customerId,
      role,
      now,
      ttlS: TOKEN_TTL_S,
    });
    const expiresAt = new Date((Math.floor(now / 1000) + TOKEN_TTL_S) * 1000).toISOString();
    return { token, customerId, role, expiresAt };
  }

  /** The file comes first: no token is signed with a key that the other services cannot find. */
  #signWith(key: SigningKey): void {
    this.writeJwks(Date.now());
    this.#key = key;
  }

  #state(keyId: string): ShownSigningKey["state"] | undefined {
    return this.#database.orm.select().from(tokenKeys).where(eq(tokenKeys.keyId, keyId)).get()?.state;
  }

  #stored(): SigningKey | undefined {
    const row = this.#current();
    if (row === undefined || row.privateKey === null) return undefined;
    return { keyId: row.keyId, publicJwk: row.publicKey, privateJwk: row.privateKey };
  }

  #makeCurrent({ keyId, publicJwk, privateJwk }: SigningKey, transaction: Transaction): void {
    const { orm } = this.#database;
    const { now } = transaction;
    const current = this.#current();
    if (current !== undefined && current.keyId !== keyId) {
      orm
        .update(tokenKeys)
        .set({ state: "retired", privateKey: null, verifiesUntil: now + RETIRED_FOR_MS })
        .where(eq(tokenKeys.keyId, current.keyId))
        .run();
    }
    // A configured key is nowhere but in its setting.
    const privateKey = keyId === this.#configured?.keyId ? null : privateJwk;
    const values = { publicKey: publicJwk, privateKey, state: "current", verifiesUntil: null } as const;
    orm
      .insert(tokenKeys)
      .values({ keyId, ...values, createdAt: now })
      .onConflictDoUpdate({ target: tokenKeys.keyId, set: values })
      .run();
    this.#announceCurrent(transaction);
  }

  #announceCurrent(transaction: Transaction): void {
    const current = this.#current();
    if (current === undefined) return;
    transaction.emit(SigningKeyPublished, { keyId: current.keyId, publicKey: current.publicKey });
  }

  #current() {
    return this.#database.orm.select().from(tokenKeys).where(eq(tokenKeys.state, "current")).get();
  }
}

/** @throws StartError that names the setting, and shows nothing of the key */
function configuredKey({ signingKey, signingKeyFile }: SessionsOptions): SigningKey | undefined {
  if (signingKey === undefined && signingKeyFile === undefined) return undefined;
  if (signingKey !== undefined && signingKeyFile !== undefined) {
    throw new StartError("AUTH_SIGNING_KEY: is set, and so is AUTH_SIGNING_KEY_FILE; expected one of them");
  }
  const setting = signingKey === undefined ? "AUTH_SIGNING_KEY_FILE" : "AUTH_SIGNING_KEY";
  const key = signingKeyOf(signingKey ?? textOf(signingKeyFile ?? ""));
  if (key === undefined) throw new StartError(`${setting}: expected a private Ed25519 key as a JWK`);
  return key;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new StartError(`AUTH_SIGNING_KEY_FILE: '${path}' cannot be read`);
  }
}
