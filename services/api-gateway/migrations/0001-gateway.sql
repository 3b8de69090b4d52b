-- Orders, and what never changes about them. `seq` is the order in which this gateway came to know them. Without a
-- generation, the gateway has accepted the order itself, and nobody else can tell of it; with one, the row is a copy
-- of what the order service told.
CREATE TABLE orders (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  order_id TEXT NOT NULL UNIQUE,
  customer_id TEXT NOT NULL,
  items TEXT NOT NULL,
  total TEXT NOT NULL,
  placed_at INTEGER NOT NULL,
  generation INTEGER
) STRICT;
CREATE INDEX orders_by_customer ON orders (customer_id, seq);

-- Everything that was told of an order, each message once. How an order stands is read off from its steps, in
-- whichever order they came in. Without a generation: the gateway's own.
CREATE TABLE order_steps (
  seq INTEGER PRIMARY KEY,
  order_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  cause_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  service TEXT NOT NULL,
  shortages TEXT,
  revision INTEGER,
  reason TEXT,
  generation INTEGER,
  UNIQUE (order_id, message_id)
) STRICT;

-- Requests that may be repeated, by the key that their client gave them: what was asked for, what it was done to, and
-- what was answered.
CREATE TABLE idempotency_keys (
  customer_id TEXT NOT NULL,
  key TEXT NOT NULL,
  operation TEXT NOT NULL,
  content TEXT NOT NULL,
  target TEXT NOT NULL,
  answer TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- The catalogue, as the inventory last told it. A withdrawn product keeps its row, so that nothing older than
-- the withdrawal can bring it back.
CREATE TABLE products (
  product_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  price TEXT NOT NULL,
  available INTEGER NOT NULL,
  version INTEGER NOT NULL,
  withdrawn INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL
) STRICT;

-- The key that signs the store's tokens: made once, here and nowhere else.
CREATE TABLE signing_key (
  key_id TEXT PRIMARY KEY,
  private_key TEXT NOT NULL
) STRICT, WITHOUT ROWID;
