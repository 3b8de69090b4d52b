-- The same with ids and times as numbers.
ALTER TABLE notifications RENAME TO notifications_before;
DROP INDEX notifications_by_customer;

-- AUTOINCREMENT: clients remember how far they have read, so a number is never used twice. A row keeps its number when
-- the table is made anew.
CREATE TABLE notifications (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  -- A UUID in 16 bytes, any other id as it is.
  notification_id ANY NOT NULL UNIQUE,
  customer_id TEXT NOT NULL,
  order_id TEXT NOT NULL,
  type TEXT NOT NULL,
  message TEXT NOT NULL,
  -- Milliseconds since the epoch; a time that is written in another way than such are, as it is.
  at ANY NOT NULL,
  generation INTEGER NOT NULL
) STRICT;
INSERT INTO notifications
  SELECT seq,
    CASE WHEN notification_id GLOB '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
      THEN unhex(replace(notification_id, '-', '')) ELSE notification_id END,
    customer_id, order_id, type, message,
    CASE WHEN strftime('%Y-%m-%dT%H:%M:%fZ', at) = at
      THEN unixepoch(at) * 1000 + CAST(substr(at, 21, 3) AS INTEGER) ELSE at END,
    generation
  FROM notifications_before ORDER BY seq;
UPDATE sqlite_sequence
  SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'notifications_before') WHERE name = 'notifications';
DROP TABLE notifications_before;
CREATE INDEX notifications_by_customer ON notifications (customer_id, seq);
