-- To find the orders that have been final for long.
CREATE INDEX final_orders_by_age ON orders (updated_at) WHERE status IN ('confirmed', 'rejected', 'cancelled');
