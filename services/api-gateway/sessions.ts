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
  readonly #keyId: string;
  readonly #privateKey: PrivateJwk;

  private constructor(keyId: string, privateKey: PrivateJwk) {
    this.#keyId = keyId;
    this.#privateKey = privateKey;
    const publicKey = publicHalf(privateKey);
    this.verifier = new TokenVerifier(tokenClaims, (id) => (id === keyId ? publicKey : undefined));
  }

  /**
   * Reads the key, or generates it, and publishes its public half: at every start, so that a broker that lost its
   * disk receives it again.
   */
  static async open({ orm }: ServiceDatabase, unitOfWork: UnitOfWork): Promise<Sessions> {
    const generated = await generateSigningKey();
    const { keyId, privateKey } = await unitOfWork.run((transaction) => {
      const stored = orm.select().from(signingKey).get();
      const key = stored ?? { keyId: generated.keyId, privateKey: generated.privateJwk };
      if (stored === undefined) orm.insert(signingKey).values(key).run();
      transaction.emit(SigningKeyPublished, { keyId: key.keyId, publicKey: publicHalf(key.privateKey) });
      return key;
    });
    return new Sessions(keyId, privateKey);
  }

  async signIn(customerId: string, role: Role, now: number): Promise<Session> {
    const token = await issueToken(this.#privateKey, {
      ...tokenClaims,
      keyId: this.#keyId,
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
