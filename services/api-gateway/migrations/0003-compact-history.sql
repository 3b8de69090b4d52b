-- The same in a third of the space: an order is named by its number, a UUID takes 16 bytes, and what the type of an entry or
-- the currency of an order says is not repeated.
ALTER TABLE orders RENAME TO orders_before;
ALTER TABLE order_steps RENAME TO order_steps_before;
DROP INDEX orders_by_customer;

-- Orders, and what never changes about them. `seq` is the order in which this gateway came to know them. Without a
-- generation, the gateway has accepted the order itself, and nobody else can tell of it; with one, the row is a copy
-- of what the order service told. Without a customer, only other services have told of the order so far.
CREATE TABLE orders (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  order_id TEXT NOT NULL UNIQUE,
  customer_id TEXT,
  -- An array for each line: the product, the quantity and the amount of its price; its currency, if it is another one.
  items TEXT,
  total INTEGER,
  currency TEXT,
  placed_at INTEGER,
  generation INTEGER,
  CHECK ((customer_id IS NULL) = (items IS NULL)),
  CHECK ((customer_id IS NULL) = (total IS NULL)),
  CHECK ((customer_id IS NULL) = (currency IS NULL)),
  CHECK ((customer_id IS NULL) = (placed_at IS NULL))
) STRICT;
INSERT INTO orders
  SELECT seq, order_id, customer_id, (
    SELECT json_group_array(
      CASE item.value ->> '$.unitPrice.currency' WHEN total ->> 'currency'
        THEN json_array(item.value ->> 'productId', item.value ->> 'quantity', item.value ->> '$.unitPrice.amount')
        ELSE json_array(item.value ->> 'productId', item.value ->> 'quantity', item.value ->> '$.unitPrice.amount',
          item.value ->> '$.unitPrice.currency')
      END ORDER BY item.key
    ) FROM json_each(items) AS item
  ), total ->> 'amount', total ->> 'currency', placed_at, generation
  FROM orders_before ORDER BY seq;
-- No number is used again, also if the last orders were deleted.
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'orders_before') WHERE name = 'orders';
INSERT INTO orders (order_id)
  SELECT order_id FROM (SELECT DISTINCT order_id FROM order_steps_before) AS told
  WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.order_id = told.order_id);
CREATE INDEX orders_by_customer ON orders (customer_id, seq) WHERE customer_id IS NOT NULL;

-- Everything that was told of an order, each message once. How an order stands is read off from its steps, in
-- whichever order they came in. Without a generation: the gateway's own.
CREATE TABLE order_steps (
  order_seq INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE,
  -- A UUID in 16 bytes, any other id as it is.
  message_id ANY NOT NULL,
  -- Null: the message itself.
  cause_id ANY,
  at INTEGER NOT NULL,
  -- The place of the message's type in a list of the code.
  type INTEGER NOT NULL,
  -- Null: the service whose messages are of that type.
  service TEXT,
  shortages TEXT,
  revision INTEGER,
  reason TEXT,
  generation INTEGER,
  PRIMARY KEY (order_seq, message_id)
) STRICT, WITHOUT ROWID;
INSERT INTO order_steps
  WITH types (name, type, service) AS (VALUES
    ('store.order.place.v1', 0, 'api-gateway'),
    ('store.order.cancel.v1', 1, 'api-gateway'),
    ('store.order.placed.v1', 2, 'order'),
    ('store.order.backordered.v1', 3, 'order'),
    ('store.order.confirmed.v1', 4, 'order'),
    ('store.order.rejected.v1', 5, 'order'),
    ('store.order.cancelled.v1', 6, 'order'),
    ('store.stock.reserved.v1', 7, 'inventory'),
    ('store.stock.short.v1', 8, 'inventory'),
    ('store.stock.rejected.v1', 9, 'inventory'),
    ('store.stock.released.v1', 10, 'inventory')
  )
  SELECT orders.seq,
    CASE WHEN message_id GLOB '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]' THEN unhex(replace(message_id, '-', '')) ELSE message_id END,
    nullif(CASE WHEN cause_id GLOB '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]' THEN unhex(replace(cause_id, '-', '')) ELSE cause_id END,
      CASE WHEN message_id GLOB '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]' THEN unhex(replace(message_id, '-', '')) ELSE message_id END),
    at, types.type, nullif(step.service, types.service), shortages, revision, reason, step.generation
  FROM orders CROSS JOIN order_steps_before AS step USING (order_id) JOIN types ON types.name = step.type
  -- So that the table grows at its end.
  ORDER BY orders.seq;
DROP TABLE order_steps_before;
DROP TABLE orders_before;
