import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import type { ServiceDatabase, UnitOfWork } from "@distributed-messaging/messaging";
import {
  generateSigningKey,
  issueToken,
  type PrivateJwk,
  type Role,
  TokenVerifier,
} from "@distributed-messaging/service/identity";
import { sqliteTable, text } from "drizzle-orm/sqlite-core";

const signingKey = sqliteTable("signing_key", {
  keyId: text("key_id").primaryKey(),
  privateKey: text("private_key", { mode: "json" }).$type<PrivateJwk>().notNull(),
});

type SigningKeyRow = typeof signingKey.$inferSelect;

/** How long a token is valid; then its customer signs in again. */
const TOKEN_TTL_S = 60 * 60;

interface Session {
  readonly token: string;
  readonly customerId: string;
  readonly role: Role;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** Signs the store's tokens. The key is generated at the first start; its private half never leaves this service. */
export class Sessions {
  /** Verifies the tokens that this service has signed. */
  readonly verifier: TokenVerifier;
  readonly #database: ServiceDatabase;
  #key: SigningKeyRow | undefined;

  constructor(database: ServiceDatabase) {
    this.#database = database;
    this.verifier = new TokenVerifier(tokenClaims, (keyId) =>
      this.#key?.keyId === keyId ? publicHalf(this.#key.privateKey) : undefined,
    );
  }

  /**
   * Loads the key, or stores a new one, and publishes its public half: at every start, so that a broker that lost
   * its disk receives it again.
   */
  async publishKey(unitOfWork: UnitOfWork, generate = generateSigningKey): Promise<void> {
    const generated = await generate();
    this.#key = await unitOfWork.run((transaction) => {
      const { orm } = this.#database;
      const stored = orm.select().from(signingKey).get();
      const key = stored ?? { keyId: generated.keyId, privateKey: generated.privateJwk };
      if (stored === undefined) orm.insert(signingKey).values(key).run();
      transaction.emit(SigningKeyPublished, { keyId: key.keyId, publicKey: publicHalf(key.privateKey) });
      return key;
    });
  }

  async signIn(customerId: string, role: Role, now: number): Promise<Session> {
    if (this.#key === undefined) throw new Error("the signing key is not loaded yet");
    const { keyId, privateKey } = this.#key;
    const token = await issueToken(privateKey, {
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
}

function publicHalf({ kty, crv, x }: PrivateJwk) {
  return { kty, crv, x };
}
