CREATE TABLE products (
  product_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  price TEXT NOT NULL,
  on_hand INTEGER NOT NULL CHECK (on_hand >= 0),
  reserved INTEGER NOT NULL CHECK (reserved >= 0),
  version INTEGER NOT NULL,
  -- The promise itself: nothing that breaks it can be committed.
  CHECK (reserved <= on_hand)
) STRICT, WITHOUT ROWID;

-- What each order asked for and what it was given. `arrival` is its place in line.
CREATE TABLE reservations (
  arrival INTEGER PRIMARY KEY AUTOINCREMENT,
  order_id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL CHECK (status IN ('reserved', 'waiting', 'rejected')),
  lines TEXT NOT NULL
) STRICT;

-- The highest version that any product had: it outlives the products, so versions only ever grow.
CREATE TABLE product_versions (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  last INTEGER NOT NULL
) STRICT;
INSERT INTO product_versions VALUES (1, 0);
