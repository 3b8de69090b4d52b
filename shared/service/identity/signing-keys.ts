import { SigningKeyPublished } from "@distributed-messaging/contracts";
import {
  type Handler,
  type Migration,
  migrate,
  on,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import type { KeyLookup, PublicJwk } from "./tokens.ts";

const migrations: readonly Migration[] = [
  {
    name: "signing keys",
    sql: `
      -- The gateway's public keys, by which this service knows who asks.
      CREATE TABLE signing_keys (
        key_id TEXT PRIMARY KEY,
        x TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
];

/**
 * A service's own copy of the public keys that the gateway signs tokens with. It checks tokens by itself, also
 * while the gateway is away; until the first key has arrived, no token is good.
 */
export class SigningKeys {
  /** Keeps the copy; belongs among the handlers of the service. */
  readonly handler: Handler;
  /** For `authenticate`. */
  readonly find: KeyLookup;

  /** @throws MigrationMismatch when the database was made by another version */
  constructor(database: ServiceDatabase) {
    migrate(database, "signing-keys", migrations);
    const { sql } = database;
    const save = sql.prepare(
      "INSERT INTO signing_keys (key_id, x) VALUES (?, ?) ON CONFLICT DO UPDATE SET x = excluded.x",
    );
    const read = sql.prepare<{ x: string }, [string]>("SELECT x FROM signing_keys WHERE key_id = ?");
    this.handler = on(SigningKeyPublished, ({ data: { keyId, publicKey } }) => {
      save.run(keyId, publicKey.x);
    });
    this.find = (keyId): PublicJwk | undefined => {
      const row = read.get(keyId);
      return row === null ? undefined : { kty: "OKP", crv: "Ed25519", x: row.x };
    };
  }
}
