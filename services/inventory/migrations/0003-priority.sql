-- The priority of waiting orders is bounded: see docs/decisions/0036. An order that waits already has none from now on,
-- and counts for no customer, because its customer was not kept.
ALTER TABLE reservations ADD COLUMN customer_id TEXT;
ALTER TABLE reservations ADD COLUMN priority_until INTEGER;
CREATE INDEX priorities ON reservations (priority_until, arrival) WHERE priority_until IS NOT NULL;
CREATE INDEX waiting_by_customer ON reservations (customer_id) WHERE status = 'waiting';

-- 1 while the order has priority: only then does it block others.
ALTER TABLE waiting_lines ADD COLUMN priority INTEGER NOT NULL DEFAULT 0 CHECK (priority IN (0, 1));
DROP INDEX waiting_lines_by_quantity;
CREATE INDEX priority_lines_by_quantity ON waiting_lines (product_id, quantity, arrival) WHERE priority = 1;
CREATE INDEX priority_lines_by_arrival ON waiting_lines (product_id, arrival, quantity) WHERE priority = 1;

-- When the waiting orders of a customer began to have priority.
CREATE TABLE priority_windows (
  customer_id TEXT PRIMARY KEY,
  opened_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX priority_windows_by_age ON priority_windows (opened_at);
