CREATE TABLE orders (
  order_id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'backordered', 'confirmed', 'rejected', 'cancelled')),
  items TEXT NOT NULL,
  total TEXT NOT NULL,
  shortages TEXT,
  reason TEXT,
  revision INTEGER,
  expires_at INTEGER,
  placed_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  -- What a status needs is there, and nothing that it does not have.
  CHECK (
    (status = 'backordered') = (shortages IS NOT NULL AND revision IS NOT NULL AND expires_at IS NOT NULL)
  ),
  CHECK ((status IN ('rejected', 'cancelled')) = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;
-- To count the orders of a status without reading them.
CREATE INDEX orders_by_status ON orders (status);
