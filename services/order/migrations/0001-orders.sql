CREATE TABLE orders (
  order_id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'backordered', 'confirmed', 'rejected')),
  items TEXT NOT NULL,
  total TEXT NOT NULL,
  shortages TEXT,
  reason TEXT,
  placed_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
