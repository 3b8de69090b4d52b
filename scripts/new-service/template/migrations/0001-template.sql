CREATE TABLE tasks (
  order_id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'done', 'cancelled')),
  opened_at INTEGER NOT NULL,
  done_at INTEGER,
  -- A column that only one status has is set in that status and in no other.
  CHECK ((status = 'done') = (done_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
-- For the open tasks, oldest first, and for the number of tasks of a status.
CREATE INDEX tasks_by_status ON tasks (status, opened_at);
