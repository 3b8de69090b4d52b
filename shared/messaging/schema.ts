import type { Migration } from "./database.ts";

/** The kit's own tables, in every service's file. */
export const kitMigrations: readonly Migration[] = [
  {
    name: "inbox, outbox, offsets, dead letters",
    sql: `
      -- What has been handled. Rows stand in the order of handling, so the oldest are pruned from the front.
      CREATE TABLE inbox (
        seq INTEGER PRIMARY KEY,
        consumer TEXT NOT NULL,
        message_id TEXT NOT NULL,
        handled_at INTEGER NOT NULL,
        UNIQUE (consumer, message_id)
      ) STRICT;

      -- What is to be sent. AUTOINCREMENT: a sequence number is never used twice, not even after the table was
      -- empty, because the relay remembers how far it has sent.
      CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        key TEXT,
        value BLOB,
        headers TEXT NOT NULL,
        created_at INTEGER NOT NULL
      ) STRICT;

      -- How far each partition has been handled. last_record tells this log from another one of the same name.
      CREATE TABLE consumer_offsets (
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL,
        last_record TEXT,
        PRIMARY KEY (topic, partition)
      ) STRICT, WITHOUT ROWID;

      -- What could not be handled, byte for byte as it came.
      CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        key TEXT,
        value BLOB,
        headers TEXT NOT NULL,
        reason TEXT NOT NULL,
        error TEXT NOT NULL,
        stack TEXT,
        attempts INTEGER NOT NULL,
        parked_at INTEGER NOT NULL
      ) STRICT;
    `,
  },
];
