-- Waiting orders are no longer grouped by product set: see docs/decisions/0028.
DROP TABLE waiting_lanes;
DROP TABLE waiting_peaks;

CREATE TABLE reservations_without_lanes (
  arrival INTEGER PRIMARY KEY AUTOINCREMENT,
  order_id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL CHECK (status IN ('reserved', 'waiting', 'rejected', 'cancelled')),
  lines TEXT NOT NULL,
  -- Of a waiting order: the shortages that were published last, and how often some were.
  shortages TEXT,
  revision INTEGER,
  CHECK ((status = 'waiting') = (shortages IS NOT NULL AND revision IS NOT NULL))
) STRICT;
INSERT INTO reservations_without_lanes
  SELECT arrival, order_id, status, lines, shortages, revision FROM reservations;
DROP TABLE reservations;
ALTER TABLE reservations_without_lanes RENAME TO reservations;
-- To count the waiting orders without reading the others.
CREATE INDEX waiting_reservations ON reservations (arrival) WHERE status = 'waiting';

-- To find the waiting orders that ask for more of a product than is available.
CREATE INDEX waiting_lines_by_quantity ON waiting_lines (product_id, quantity, arrival);
