-- Since when the order of a reservation is final, as far as this service was told. Null: it may still change.
ALTER TABLE reservations ADD COLUMN settled_at INTEGER;
CREATE INDEX reservations_by_age ON reservations (settled_at) WHERE settled_at IS NOT NULL;
