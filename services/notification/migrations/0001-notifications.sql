-- AUTOINCREMENT: clients remember how far they have read, so a number is never used twice. A row keeps its number when
-- the table is made anew.
CREATE TABLE notifications (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  notification_id TEXT NOT NULL UNIQUE,
  customer_id TEXT NOT NULL,
  order_id TEXT NOT NULL,
  type TEXT NOT NULL,
  message TEXT NOT NULL,
  at TEXT NOT NULL,
  generation INTEGER NOT NULL
) STRICT;
CREATE INDEX notifications_by_customer ON notifications (customer_id, seq);
