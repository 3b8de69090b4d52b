import type { Migration, ServiceDatabase } from "../database.ts";

/** What a service that can make its copies anew has in its schema, before the tables of the copies. */
export const rebuildMigration: Migration = {
  name: "rebuild",
  sql: `
    -- Every row of a copy bears the generation in which it was written last. What is written now bears this one.
    CREATE TABLE rebuild (
      singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
      generation INTEGER NOT NULL,
      phase TEXT NOT NULL CHECK (phase IN ('none', 'reading', 'checking', 'done', 'failed')),
      drop_unaccounted INTEGER NOT NULL DEFAULT 0,
      started_at INTEGER,
      ended_at INTEGER,
      error TEXT,
      skipped INTEGER NOT NULL DEFAULT 0,
      unaccounted INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO rebuild (singleton, generation, phase) VALUES (1, 1, 'none');

    -- How far each partition has been read again, and how far it is to be: as far as it had been handled when the
    -- rebuild began. What comes after that is written by the service's usual work.
    CREATE TABLE rebuild_positions (
      topic TEXT NOT NULL,
      partition INTEGER NOT NULL,
      next_offset INTEGER NOT NULL,
      target INTEGER NOT NULL,
      PRIMARY KEY (topic, partition)
    ) STRICT, WITHOUT ROWID;
  `,
};

export type RebuildPhase = "none" | "reading" | "checking" | "done" | "failed";

/** How a rebuild stands, or how the last one ended. */
export interface RebuildStatus {
  readonly phase: RebuildPhase;
  /** Milliseconds since the epoch, as is `endedAt`. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly error: string | null;
  /** Messages that could not be read or handled, and were left out. */
  readonly skipped: number;
  /** Rows that no message accounts for. */
  readonly unaccounted: number;
  /** Offsets that have been passed, and that are to be. */
  readonly read: number;
  readonly toRead: number;
}

interface PositionRow {
  readonly next: number;
  readonly target: number;
}

interface StatusRow extends Omit<RebuildStatus, "read" | "toRead"> {
  readonly dropUnaccounted: number;
}

/** A part of a table that was looked at. */
export interface Slice {
  /** The row to go on behind; undefined at the end of the table. */
  readonly next: number | undefined;
  /** Rows in it that were not written since the rebuild began. */
  readonly unaccounted: number;
}

const MAX_ERROR_CHARACTERS = 500;

/** The rebuild as rows. What writes belongs inside a transaction. */
export class RebuildStore {
  readonly #database: ServiceDatabase;
  readonly #statements;

  constructor(database: ServiceDatabase) {
    const { sql } = database;
    this.#database = database;
    this.#statements = {
      status: sql.prepare<StatusRow, []>(
        `SELECT phase, drop_unaccounted AS dropUnaccounted, started_at AS startedAt, ended_at AS endedAt, error,
           skipped, unaccounted FROM rebuild`,
      ),
      progress: sql.prepare<{ read: number; toRead: number }, []>(
        `SELECT coalesce(sum(min(next_offset, target)), 0) AS read, coalesce(sum(target), 0) AS toRead
         FROM rebuild_positions`,
      ),
      begin: sql.prepare(
        `UPDATE rebuild SET generation = generation + 1, phase = 'reading', drop_unaccounted = ?, started_at = ?,
           ended_at = NULL, error = NULL, skipped = 0, unaccounted = 0`,
      ),
      forget: sql.prepare("DELETE FROM rebuild_positions"),
      aim: sql.prepare(
        `INSERT INTO rebuild_positions (topic, partition, next_offset, target)
         SELECT topic, partition, 0, next_offset FROM consumer_offsets WHERE topic = ?`,
      ),
      position: sql.prepare<PositionRow, [string, number]>(
        "SELECT next_offset AS next, target FROM rebuild_positions WHERE topic = ? AND partition = ?",
      ),
      pass: sql.prepare("UPDATE rebuild_positions SET next_offset = ? WHERE topic = ? AND partition = ?"),
      skip: sql.prepare("UPDATE rebuild SET skipped = skipped + ?"),
      check: sql.prepare("UPDATE rebuild SET phase = 'checking'"),
      end: sql.prepare("UPDATE rebuild SET phase = ?, ended_at = ?, error = ?, unaccounted = ?"),
    };
  }

  status(): RebuildStatus {
    const { dropUnaccounted: _, ...status } = this.#row();
    const progress = this.#statements.progress.get();
    return { ...status, read: progress?.read ?? 0, toRead: progress?.toRead ?? 0 };
  }

  /** Everything that is written from now on belongs to the next generation. */
  begin(topics: readonly string[], dropUnaccounted: boolean, now: number): void {
    this.#statements.begin.run(Number(dropUnaccounted), now);
    this.#statements.forget.run();
    for (const topic of topics) this.#statements.aim.run(topic);
  }

  position(topic: string, partition: number): PositionRow | undefined {
    return this.#statements.position.get(topic, partition) ?? undefined;
  }

  pass(topic: string, partition: number, next: number, skipped: number): void {
    this.#statements.pass.run(next, topic, partition);
    if (skipped > 0) this.#statements.skip.run(skipped);
  }

  /** Everything has been read. */
  beginCheck(): void {
    this.#statements.check.run();
  }

  /**
   * Looks for rows of an older generation among the next rows of a table, and drops them if that was asked for.
   *
   * @param table a table of copies, with a rowid and a generation; a row without one is nobody's copy
   */
  check(table: string, after: number, rows: number): Slice {
    const { sql } = this.#database;
    const one = <Row>(text: string, ...bindings: number[]): Row | undefined => {
      using statement = sql.prepare<Row, number[]>(text);
      return statement.get(...bindings) ?? undefined;
    };
    const end = one<{ rowid: number | null }>(
      `SELECT max(rowid) AS rowid FROM (SELECT rowid FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ?)`,
      after,
      rows,
    )?.rowid;
    if (end === undefined || end === null) return { next: undefined, unaccounted: 0 };
    const old = `rowid > ? AND rowid <= ? AND generation < (SELECT generation FROM rebuild)`;
    const unaccounted =
      one<{ count: number }>(`SELECT count(*) AS count FROM ${table} WHERE ${old}`, after, end)?.count ?? 0;
    if (unaccounted > 0 && this.#row().dropUnaccounted === 1) {
      sql.run(`DELETE FROM ${table} WHERE ${old}`, [after, end]);
    }
    return { next: end, unaccounted };
  }

  end(phase: "done" | "failed", now: number, error: string | null, unaccounted: number): void {
    this.#statements.end.run(phase, now, error?.slice(0, MAX_ERROR_CHARACTERS) ?? null, unaccounted);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #row(): StatusRow {
    const row = this.#statements.status.get();
    if (row === null) throw new Error("rebuild has lost its row");
    return row;
  }
}
