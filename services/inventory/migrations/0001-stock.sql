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

-- What each order asked for and what it was given. `arrival` is its place in line, for those who wait; `shortages`
-- is what such an order was last told that it lacks, `revision` how often it was told.
CREATE TABLE reservations (
  arrival INTEGER PRIMARY KEY AUTOINCREMENT,
  order_id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL CHECK (status IN ('reserved', 'waiting', 'rejected', 'cancelled')),
  lines TEXT NOT NULL,
  shortages TEXT,
  revision INTEGER,
  lane_id INTEGER,
  CHECK ((status = 'waiting') = (shortages IS NOT NULL AND revision IS NOT NULL AND lane_id IS NOT NULL))
) STRICT;
CREATE INDEX members_of_lane ON reservations (lane_id, arrival) WHERE lane_id IS NOT NULL;

-- Orders that wait for the same products, by the first of them, and one product that keeps that one waiting.
CREATE TABLE waiting_lanes (
  lane_id INTEGER PRIMARY KEY,
  products TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL,
  watched TEXT NOT NULL
) STRICT;
CREATE INDEX lanes_by_watched ON waiting_lanes (watched, head);

-- Who waits for how much of each product; and the most that any of so many neighbours in line waits for, by which the
-- first who asks for more than so much is found without looking at all of them.
CREATE TABLE waiting_lines (
  product_id TEXT NOT NULL,
  arrival INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  PRIMARY KEY (product_id, arrival)
) STRICT, WITHOUT ROWID;
CREATE TABLE waiting_peaks (
  product_id TEXT NOT NULL,
  level INTEGER NOT NULL,
  block INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  PRIMARY KEY (product_id, level, block)
) STRICT, WITHOUT ROWID;

-- What has come in, each under its own id.
CREATE TABLE restockings (
  restock_id TEXT PRIMARY KEY,
  product_id TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The highest version that any product had: it outlives the products, so versions only ever grow.
CREATE TABLE product_versions (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  last INTEGER NOT NULL
) STRICT;
INSERT INTO product_versions VALUES (1, 0);
