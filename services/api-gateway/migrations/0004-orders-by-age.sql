-- To find the orders that were placed long ago.
CREATE INDEX orders_by_age ON orders (placed_at) WHERE placed_at IS NOT NULL;
