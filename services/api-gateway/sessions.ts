import { SigningKeyPublished } from "@distributed-messaging/contracts";
import type { ServiceDatabase, UnitOfWork } from "@distributed-messaging/messaging";
import {
  generateSigningKey,
  issueToken,
  type KeyLookup,
  type PrivateJwk,
  type Role,
} from "@distributed-messaging/service/identity/auth";
import { signingKey } from "./tables.ts";

/** A token is good for an hour; then its customer signs in again. */
export const TOKEN_TTL_S = 60 * 60;

export interface Session {
  readonly token: string;
  readonly customerId: string;
  readonly role: Role;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** Signs the store's tokens, with a key that is made at the first start and never leaves this service. */
export class Sessions {
  /** Finds the public key, for the gateway's own checks. */
  readonly keys: KeyLookup = (keyId) => (keyId === this.#keyId ? publicHalf(this.#privateKey) : undefined);
  readonly #keyId: string;
  readonly #privateKey: PrivateJwk;

  private constructor(keyId: string, privateKey: PrivateJwk) {
    this.#keyId = keyId;
    this.#privateKey = privateKey;
  }

  /**
   * Takes the key from the database, or makes it, and publishes its public half: at every start, so that a
   * broker that lost its disk has it again.
   */
  static async open(database: ServiceDatabase, unitOfWork: UnitOfWork): Promise<Sessions> {
    const made = await generateSigningKey();
    const { keyId, privateKey } = await unitOfWork.run((transaction) => {
      const { orm } = database;
      const stored = orm.select().from(signingKey).get();
      const key = stored ?? { keyId: made.keyId, privateKey: made.privateJwk };
      if (stored === undefined) orm.insert(signingKey).values(key).run();
      transaction.emit(SigningKeyPublished, { keyId: key.keyId, publicKey: publicHalf(key.privateKey) });
      return key;
    });
    return new Sessions(keyId, privateKey);
  }

  async signIn(customerId: string, role: Role, now: number): Promise<Session> {
    const token = await issueToken(this.#privateKey, {
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
