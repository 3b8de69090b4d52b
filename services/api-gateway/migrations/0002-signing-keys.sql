-- The keys that sign the store's tokens. One is current: it alone signs, and it alone has its private half here, unless
-- that is a setting. A retired one verifies the tokens that it has signed until they have expired. A withdrawn one
-- verifies nothing, and its row keeps it from being used again.
CREATE TABLE token_keys (
  key_id TEXT PRIMARY KEY,
  public_key TEXT NOT NULL,
  private_key TEXT,
  state TEXT NOT NULL CHECK (state IN ('current', 'retired', 'withdrawn')),
  created_at INTEGER NOT NULL,
  verifies_until INTEGER,
  CHECK (private_key IS NULL OR state = 'current'),
  CHECK ((state = 'retired') = (verifies_until IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_current_token_key ON token_keys (state) WHERE state = 'current';

INSERT INTO token_keys (key_id, public_key, private_key, state, created_at)
SELECT key_id, json_object('kty', 'OKP', 'crv', 'Ed25519', 'x', private_key ->> 'x'), private_key, 'current', 0
FROM signing_key LIMIT 1;
DROP TABLE signing_key;
