import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import type {
  ServiceDatabase,
  TimerHandler,
  Transaction,
  UnitOfWork,
} from "@distributed-messaging/messaging";
import { ServiceError, StartError } from "@distributed-messaging/service/errors";
import { replaceFile } from "@distributed-messaging/service/files";
import { issueToken, type Role } from "@distributed-messaging/service/identity";
import {
  generateSigningKey,
  type PublicJwk,
  type SigningKey,
} from "@distributed-messaging/service/signing-key";
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
/** The timer that ends the publication of a retired key. */
const KEY_EXPIRY = "signing-key-expiry";

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
  /** The key that signs, in place of one that is generated. */
  readonly signingKey: SigningKey | undefined;
}

/**
 * Signs the store's tokens, and publishes the keys that verify them. Private keys never leave this service; that of a
 * key that no longer signs is deleted, and overwritten in the files of the database. Copies of these files still have it.
 */
export class Sessions {
  readonly #database: ServiceDatabase;
  readonly #jwksFile: string;
  /** From the settings. */
  readonly #configured: SigningKey | undefined;
  #key: SigningKey | undefined;

  constructor(database: ServiceDatabase, { jwksFile, signingKey }: SessionsOptions) {
    this.#database = database;
    this.#jwksFile = jwksFile;
    this.#configured = signingKey;
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

  /** The timers of retired keys. */
  timers(): readonly TimerHandler[] {
    const fire = (_timer: unknown, transaction: Transaction) =>
      transaction.afterCommit(() => this.writeJwks(transaction.now));
    return [{ name: KEY_EXPIRY, fire }];
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
    await this.#change(unitOfWork, (transaction) => this.#makeCurrent(key, transaction));
    return key.keyId;
  }

  /**
   * Ends the validity of every token of a key for good: in the file of the keys before this resolves, and for services
   * that fetch the keys when they do so next. When it is the key that signs, a new one takes its place. Again: no change.
   *
   * @throws ServiceError not-found
   */
  async withdraw(keyId: string, unitOfWork: UnitOfWork): Promise<void> {
    const successor = await generateSigningKey();
    await this.#change(unitOfWork, (transaction) => {
      const state = this.#state(keyId);
      if (state === undefined) throw new ServiceError("not-found", "key-not-found", "There is no such key.");
      const withdrawn = { state: "withdrawn", privateKey: null, verifiesUntil: null } as const;
      this.#overwrite(
        () => this.#database.orm.update(tokenKeys).set(withdrawn).where(eq(tokenKeys.keyId, keyId)).run(),
        transaction,
      );
      if (state === "current") this.#makeCurrent(successor, transaction);
      // Services that fetch the keys do so when one is announced.
      else this.#announceCurrent(transaction);
    });
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

  /**
   * Changes the keys. What is stored takes effect, whoever stored it: the same change again completes one after which
   * the file could not be written.
   */
  async #change(unitOfWork: UnitOfWork, work: (transaction: Transaction) => void): Promise<void> {
    const now = await unitOfWork.run((transaction) => {
      work(transaction);
      return transaction.now;
    });
    // The file comes first: no token is signed with a key that the other services cannot find.
    this.writeJwks(now);
    this.#key = this.#stored();
  }

  /** Writes, and leaves nothing of what it replaces in the files of the database: where SQLite deletes, it only marks as free. */
  #overwrite(write: () => void, transaction: Transaction): void {
    const { sql } = this.#database;
    sql.run("PRAGMA secure_delete = ON");
    try {
      write();
    } finally {
      sql.run("PRAGMA secure_delete = OFF");
    }
    // The write-ahead log still has the pages as they were.
    transaction.afterCommit(() => void sql.run("PRAGMA wal_checkpoint(TRUNCATE)"));
  }

  #state(keyId: string): ShownSigningKey["state"] | undefined {
    return this.#database.orm.select().from(tokenKeys).where(eq(tokenKeys.keyId, keyId)).get()?.state;
  }

  #stored(): SigningKey | undefined {
    const row = this.#current();
    if (row?.keyId === this.#configured?.keyId) return this.#configured;
    if (row === undefined || row.privateKey === null) return undefined;
    return { keyId: row.keyId, publicJwk: row.publicKey, privateJwk: row.privateKey };
  }

  #makeCurrent(key: SigningKey, transaction: Transaction): void {
    this.#overwrite(() => this.#replaceCurrent(key, transaction), transaction);
    this.#announceCurrent(transaction);
  }

  #replaceCurrent({ keyId, publicJwk, privateJwk }: SigningKey, transaction: Transaction): void {
    const { orm } = this.#database;
    const { now } = transaction;
    const current = this.#current();
    if (current !== undefined && current.keyId !== keyId) {
      const verifiesUntil = now + RETIRED_FOR_MS;
      orm
        .update(tokenKeys)
        .set({ state: "retired", privateKey: null, verifiesUntil })
        .where(eq(tokenKeys.keyId, current.keyId))
        .run();
      transaction.setTimer({ name: KEY_EXPIRY, key: current.keyId, dueAt: verifiesUntil });
    }
    // A configured key is nowhere but in its setting.
    const privateKey = keyId === this.#configured?.keyId ? null : privateJwk;
    const values = { publicKey: publicJwk, privateKey, state: "current", verifiesUntil: null } as const;
    orm
      .insert(tokenKeys)
      .values({ keyId, ...values, createdAt: now })
      .onConflictDoUpdate({ target: tokenKeys.keyId, set: values })
      .run();
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
