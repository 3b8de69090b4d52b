-- Where the event of a notification is in its topic: the same at every instance. NULL in rows of before, until a rebuild.
ALTER TABLE notifications ADD COLUMN partition INTEGER;
ALTER TABLE notifications ADD COLUMN "offset" INTEGER;

-- Of the database whose numbers a cursor has: those of another one are other notifications.
CREATE TABLE cursors (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), database TEXT NOT NULL) STRICT;
INSERT INTO cursors (singleton, database) VALUES (1, lower(hex(randomblob(6))));
