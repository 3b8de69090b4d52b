import type { Migration, ServiceDatabase, StopDecision } from "@distributed-messaging/messaging";
import { POISON_HEADER } from "./poison.ts";

/**
 * Tables that the simulation adds to each service's database and writes in the service's own transactions: they record
 * what took effect, and nothing that was rolled back.
 */
export const ledgerMigrations: readonly Migration[] = [
  {
    name: "ledger",
    sql: `
      CREATE TABLE simulation_handled (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        key TEXT NOT NULL,
        message_id TEXT NOT NULL
      ) STRICT;
      CREATE TABLE simulation_handlings (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT,
        at INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE simulation_emitted (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        key TEXT,
        value BLOB
      ) STRICT;
      CREATE TABLE simulation_parked (
        letter_id INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        key TEXT,
        value BLOB,
        headers TEXT NOT NULL,
        reason TEXT NOT NULL,
        error TEXT NOT NULL
      ) STRICT;
      CREATE TABLE simulation_discarded (letter_id INTEGER PRIMARY KEY, handled_before INTEGER NOT NULL) STRICT;
      CREATE TABLE simulation_timers (key TEXT PRIMARY KEY, fired INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE simulation_effects (key TEXT PRIMARY KEY, completed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    `,
  },
];

/** Records everything that is emitted or parked. Called after the kit's migrations. */
export function recordTables({ sql }: ServiceDatabase): void {
  sql.run(`
    CREATE TRIGGER simulation_outbox AFTER INSERT ON outbox BEGIN
      INSERT INTO simulation_emitted (topic, key, value) VALUES (new.topic, new.key, new.value);
    END`);
  // What is emitted while its key is blocked, and what moves between the two tables.
  sql.run(`
    CREATE TRIGGER simulation_parked_outgoing AFTER INSERT ON parked_outgoing BEGIN
      INSERT INTO simulation_emitted (topic, key, value) VALUES (new.topic, new.key, new.value);
    END`);
  sql.run(`
    CREATE TRIGGER simulation_dead_letters AFTER INSERT ON dead_letters BEGIN
      INSERT INTO simulation_parked (letter_id, topic, partition, offset, key, value, headers, reason, error)
      VALUES (new.id, new.topic, new.partition, new.offset, new.key, new.value, new.headers, new.reason, new.error);
    END`);
  sql.run(`
    CREATE TRIGGER simulation_discards AFTER INSERT ON dead_letter_actions WHEN new.action = 'discard' BEGIN
      INSERT INTO simulation_discarded (letter_id, handled_before)
      VALUES (new.letter_id, (SELECT coalesce(max(seq), 0) FROM simulation_handled));
    END`);
}

interface Handled {
  readonly topic: string;
  readonly key: string;
  readonly messageId: string;
}

/** The messages that a service has handled, in order. */
export function handledBy({ sql }: ServiceDatabase): Handled[] {
  return sql
    .query<Handled, []>("SELECT topic, key, message_id AS messageId FROM simulation_handled ORDER BY seq")
    .all();
}

/** What a service has handled, in order: a message, or one of its own timers. */
interface Handling {
  /** Null for a timer. */
  readonly messageId: string | null;
  /** By the service's clock, in milliseconds since the epoch. */
  readonly at: number;
}

export function handlingsOf({ sql }: ServiceDatabase): Handling[] {
  return sql
    .query<Handling, []>("SELECT message_id AS messageId, at FROM simulation_handlings ORDER BY seq")
    .all();
}

/** Whether a message has taken effect. */
export function hasHandled({ sql }: ServiceDatabase, id: string): boolean {
  return sql.query("SELECT 1 FROM simulation_handled WHERE message_id = ?").get(id) !== null;
}

export interface Parked {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly reason: string;
  readonly error: string;
}

/** The dead letters that a service has ever parked, in order. */
export function parkedBy({ sql }: ServiceDatabase): Parked[] {
  return sql
    .query<Parked & { headers: string }, []>("SELECT * FROM simulation_parked ORDER BY letter_id")
    .all()
    .map((row) => ({ ...row, headers: JSON.parse(row.headers) as Record<string, string> }));
}

export interface Emitted {
  readonly topic: string;
  readonly key: string | null;
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly time: string;
  readonly causationid: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The messages that a service has emitted, in order. */
export function emittedBy({ sql }: ServiceDatabase): Emitted[] {
  return sql
    .query<{ topic: string; key: string | null; value: Uint8Array }, []>(
      `SELECT topic, key, value FROM simulation_emitted WHERE topic NOT LIKE '%.dead-letters'
       GROUP BY topic, value ORDER BY min(seq)`,
    )
    .all()
    .map(({ topic, key, value }) => ({
      ...(JSON.parse(Buffer.from(value).toString()) as Emitted),
      topic,
      key,
    }));
}

interface Discarded {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** Whether the message had taken effect before it was discarded. */
  readonly wasHandled: boolean;
  /** Whether it has taken effect since. */
  readonly tookEffect: boolean;
}

/** The genuine messages that an operator has discarded. */
export function discardedBy({ sql }: ServiceDatabase): Discarded[] {
  return sql
    .query<Pick<Discarded, "id" | "topic" | "key"> & { wasHandled: 0 | 1; tookEffect: 0 | 1 }, [string]>(
      `SELECT id, topic, key,
         EXISTS (SELECT 1 FROM simulation_handled WHERE message_id = id AND seq <= handled_before) AS wasHandled,
         EXISTS (SELECT 1 FROM simulation_handled WHERE message_id = id AND seq > handled_before) AS tookEffect
       FROM (
         SELECT CAST(value AS TEXT) ->> 'id' AS id, topic, key, handled_before
         FROM simulation_discarded JOIN simulation_parked USING (letter_id) WHERE headers ->> ? IS NULL
       )`,
    )
    .all(POISON_HEADER)
    .map(({ wasHandled, tookEffect, ...discarded }) => ({
      ...discarded,
      wasHandled: wasHandled === 1,
      tookEffect: tookEffect === 1,
    }));
}

type DecidedStop = Pick<
  StopDecision,
  "topic" | "partition" | "reason" | "offset" | "nextOffset" | "action" | "actor"
>;

/** Every decision about a stopped partition, in order. */
export function decidedBy({ sql }: ServiceDatabase): DecidedStop[] {
  return sql
    .query<DecidedStop, []>(
      "SELECT topic, partition, reason, offset, next_offset AS nextOffset, action, actor FROM partition_actions ORDER BY id",
    )
    .all();
}
