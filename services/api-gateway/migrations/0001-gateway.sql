-- Orders as their customers see them. `seq` is the order in which this gateway came to know them.
CREATE TABLE orders (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  order_id TEXT NOT NULL UNIQUE,
  customer_id TEXT NOT NULL,
  status TEXT NOT NULL,
  items TEXT NOT NULL,
  total TEXT NOT NULL,
  shortages TEXT,
  reason TEXT,
  placed_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_by_customer ON orders (customer_id, seq);

CREATE TABLE order_history (
  seq INTEGER PRIMARY KEY,
  order_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  service TEXT NOT NULL
) STRICT;
CREATE INDEX history_by_order ON order_history (order_id, seq);

-- Requests that may be repeated, by the key that their client gave them.
CREATE TABLE idempotency_keys (
  customer_id TEXT NOT NULL,
  key TEXT NOT NULL,
  order_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id, key)
) STRICT, WITHOUT ROWID;

-- The catalogue, as the inventory last told it. A withdrawn product keeps its row, so that nothing older than
-- the withdrawal can bring it back.
CREATE TABLE products (
  product_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  price TEXT NOT NULL,
  available INTEGER NOT NULL,
  version INTEGER NOT NULL,
  withdrawn INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The key that signs the store's tokens: made once, here and nowhere else.
CREATE TABLE signing_key (
  key_id TEXT PRIMARY KEY,
  private_key TEXT NOT NULL
) STRICT, WITHOUT ROWID;
