import type { Migration } from "./database.ts";

/** The tables of the kit. */
export const kitMigrations: readonly Migration[] = [
  {
    name: "inbox, outbox, offsets, dead letters, timers",
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

      -- What could not be handled, byte for byte as it came, and what waits behind it. Ids grow in the order of
      -- parking, which for one topic and key is the order of the log.
      CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        key TEXT,
        value BLOB,
        edited BLOB,
        headers TEXT NOT NULL,
        reason TEXT NOT NULL,
        error TEXT NOT NULL,
        stack TEXT,
        attempts INTEGER NOT NULL,
        replays INTEGER NOT NULL DEFAULT 0,
        parked_at INTEGER NOT NULL
      ) STRICT;
      -- The lines: a message of unknown type concerns nobody here, so it holds nobody up.
      CREATE INDEX dead_letter_lines ON dead_letters (topic, key, id)
        WHERE key IS NOT NULL AND reason <> 'unknown-type';

      -- What was done to dead letters, by whom and why.
      CREATE TABLE dead_letter_actions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        letter_id INTEGER NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        detail TEXT NOT NULL,
        at INTEGER NOT NULL
      ) STRICT;

      -- Messages that were begun alone, after an unclean stop, and are not known to have ended.
      CREATE TABLE attempts (
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (topic, partition, offset)
      ) STRICT, WITHOUT ROWID;

      -- Whether a process is at work on this file, or died while it was.
      CREATE TABLE process (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), running INTEGER NOT NULL) STRICT;
      INSERT INTO process VALUES (1, 0);

      -- Deadlines. One for each name and key; a null due_at is one that failed too often.
      CREATE TABLE timers (
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        due_at INTEGER,
        data TEXT NOT NULL,
        correlation_id TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        PRIMARY KEY (name, key)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX timers_due ON timers (due_at) WHERE due_at IS NOT NULL;
    `,
  },
  {
    name: "dead letters by reason",
    sql: `
      -- Counting them must not read the messages themselves.
      CREATE INDEX dead_letters_by_reason ON dead_letters (reason);
    `,
  },
  {
    name: "the reason blocked",
    sql: "UPDATE dead_letters SET reason = 'blocked' WHERE reason = 'behind';",
  },
  {
    name: "ids of timers",
    sql: `
      -- Of what set the timer and its position there; of those set before this step, a random one. What the timer
      -- emits is derived from it.
      ALTER TABLE timers ADD COLUMN id TEXT NOT NULL DEFAULT '';
      UPDATE timers SET id = lower(hex(randomblob(16)));
    `,
  },
  {
    name: "stopped partitions",
    sql: `
      -- Partitions that are not read before an operator has decided, or topics that are not written: partition -1.
      CREATE TABLE partition_stops (
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        -- Where reading stopped, and where it goes on if what is in between is skipped.
        offset INTEGER NOT NULL,
        next_offset INTEGER NOT NULL,
        reason TEXT NOT NULL,
        error TEXT NOT NULL,
        bytes BLOB,
        stopped_at INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)
      ) STRICT;

      -- What was decided about stopped partitions, by whom.
      CREATE TABLE partition_actions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        next_offset INTEGER NOT NULL,
        reason TEXT NOT NULL,
        error TEXT NOT NULL,
        bytes BLOB,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        detail TEXT NOT NULL,
        at INTEGER NOT NULL
      ) STRICT;

      -- With how many partitions each topic has been written: the partition of a key follows from it.
      CREATE TABLE topic_partitions (topic TEXT PRIMARY KEY, partitions INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    `,
  },
  {
    name: "foreign messages block nothing",
    sql: `
      DROP INDEX dead_letter_lines;
      CREATE INDEX dead_letter_keys ON dead_letters (topic, key, id) WHERE key IS NOT NULL
        AND NOT (reason IN ('unknown-type', 'wrong-topic', 'wrong-source', 'wrong-key'));
    `,
  },
  {
    name: "parked outgoing records",
    sql: `
      -- What the broker refuses, and the later records of its topic and key, which may not overtake it. Ids grow in the
      -- order of emission for one topic and key.
      CREATE TABLE parked_outgoing (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        key TEXT,
        value BLOB,
        headers TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        reason TEXT NOT NULL,
        error TEXT NOT NULL,
        parked_at INTEGER NOT NULL
      ) STRICT;
      CREATE INDEX parked_outgoing_by_key ON parked_outgoing (topic, key, id);

      -- What was done to parked outgoing records, by whom and why.
      CREATE TABLE parked_outgoing_actions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        record_id INTEGER NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        detail TEXT NOT NULL,
        at INTEGER NOT NULL
      ) STRICT;
    `,
  },
  {
    name: "how far back the inbox is complete",
    sql: `
      -- handled_at is the later one of the time of the message and that of its handling.
      CREATE INDEX inbox_by_time ON inbox (handled_at);

      -- Claims with an earlier stamp may have been deleted. Null: the next start sets it.
      CREATE TABLE inbox_horizon (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), time INTEGER) STRICT;
      INSERT INTO inbox_horizon VALUES (1, NULL);

      -- Partitions that are read from the beginning of their log, up to the offset where it ended then, and what
      -- happens to messages in it that are before the horizon and not in the inbox.
      CREATE TABLE rereads (
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        until_offset INTEGER NOT NULL,
        older TEXT NOT NULL CHECK (older IN ('ask', 'handle', 'skip')),
        PRIMARY KEY (topic, partition)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    name: "effects",
    sql: `
      -- Calls of other systems that are to be performed; a null due_at is a dead one, which waits for an operator. The
      -- key is its idempotency key. Crashes: processes that ended during it since the last try that ended.
      CREATE TABLE durable_effects (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        input TEXT NOT NULL,
        due_at INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        retries INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        correlation_id TEXT NOT NULL,
        traceparent TEXT,
        enqueued_at INTEGER NOT NULL
      ) STRICT;
      CREATE INDEX durable_effects_due ON durable_effects (due_at, id);

      -- What was done to dead effects, by whom and why.
      CREATE TABLE effect_actions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        effect_id INTEGER NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        detail TEXT NOT NULL,
        at INTEGER NOT NULL
      ) STRICT;
    `,
  },
  {
    name: "dead letters with key and headers that are not text",
    sql: `
      -- Key and headers in bytes, where they are not text.
      ALTER TABLE dead_letters ADD COLUMN exact TEXT;
    `,
  },
  {
    name: "effects by name",
    sql: "CREATE INDEX durable_effects_by_name ON durable_effects (name, due_at, id);",
  },
  {
    name: "claims in the order of their ids",
    sql: `
      -- The ids of the kit begin with a time. A claim whose id is of the hour before its stamp, or of the minute after it
      -- because clocks differ, is found by its id; only the others are in an index.
      ALTER TABLE inbox RENAME TO inbox_before;
      CREATE TABLE inbox (
        message_id TEXT NOT NULL,
        consumer TEXT NOT NULL,
        handled_at INTEGER NOT NULL,
        PRIMARY KEY (message_id, consumer)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO inbox SELECT message_id, consumer, handled_at FROM inbox_before ORDER BY message_id, consumer;
      DROP TABLE inbox_before;
      CREATE INDEX inbox_by_time ON inbox (handled_at) WHERE message_id NOT BETWEEN
        printf('%08x-%04x', (handled_at - 3600000) >> 16, (handled_at - 3600000) & 65535)
        AND printf('%08x-%04x', (handled_at + 60000) >> 16, (handled_at + 60000) & 65535);

      -- The claims with an earlier stamp that are not in the index have been deleted.
      ALTER TABLE inbox_horizon ADD COLUMN pruned_to INTEGER NOT NULL DEFAULT 0;
    `,
  },
  {
    name: "claims of UUIDs in 16 bytes",
    sql: `
      -- A UUID is stored as its bytes, any other id as it is. A file has one consumer.
      ALTER TABLE inbox RENAME TO inbox_before;
      DROP INDEX inbox_by_time;
      CREATE TABLE inbox (message_id ANY PRIMARY KEY NOT NULL, handled_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      INSERT INTO inbox
        SELECT
          CASE
            WHEN message_id GLOB '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
            THEN unhex(replace(message_id, '-', ''))
            ELSE message_id
          END,
          max(handled_at)
        FROM inbox_before GROUP BY message_id ORDER BY message_id;
      DROP TABLE inbox_before;
      CREATE INDEX inbox_by_time ON inbox (handled_at) WHERE message_id NOT BETWEEN
        unhex(printf('%012x', handled_at - 3600000)) AND unhex(printf('%012x', handled_at + 60000));
    `,
  },
  {
    name: "traces of timers and effects",
    additive: true,
    sql: `
      ALTER TABLE timers ADD COLUMN traceparent TEXT;
      ALTER TABLE timers ADD COLUMN tracestate TEXT;
      ALTER TABLE durable_effects ADD COLUMN tracestate TEXT;
    `,
  },
  {
    name: "types that were handled",
    additive: true,
    sql: `
      -- What some version of this service handles. An older one keeps messages of a type that it does not know for it.
      CREATE TABLE handled_types (
        type TEXT PRIMARY KEY, topic TEXT NOT NULL, source TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    name: "ownership",
    additive: true,
    sql: `
      -- The id of this file, and the last claim of the service by a process on it. takes_over: the next one claims it
      -- although another file is the owner. handled: batches of partitions whose log was replaced since.
      CREATE TABLE ownership (
        singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
        file TEXT NOT NULL,
        epoch INTEGER NOT NULL DEFAULT 0,
        instance TEXT NOT NULL DEFAULT '',
        takes_over INTEGER NOT NULL DEFAULT 0,
        handled INTEGER NOT NULL DEFAULT 0
      ) STRICT;

      -- How many batches of the partition were handled: it only grows.
      ALTER TABLE consumer_offsets ADD COLUMN batches INTEGER NOT NULL DEFAULT 0;
    `,
  },
  {
    name: "files that have owned a service",
    additive: true,
    sql: `
      -- Whether a claim of a process on this file has counted.
      ALTER TABLE ownership ADD COLUMN owned INTEGER NOT NULL DEFAULT 0;
    `,
  },
];
