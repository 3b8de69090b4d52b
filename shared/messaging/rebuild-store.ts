import type { Migration, ServiceDatabase } from "./database.ts";

/** What a service that can make its copies anew has in its schema, before the tables of the copies. */
export const rebuildMigration: Migration = {
  name: "rebuild",
  sql: `
    -- Every row of a copy bears the generation in which it was written last. What is written now bears
    -- \`generation\`; up to \`complete\`, generations are whole.
    CREATE TABLE rebuild (
      singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
      generation INTEGER NOT NULL,
      complete INTEGER NOT NULL CHECK (complete <= generation),
      phase TEXT NOT NULL CHECK (phase IN ('none', 'reading', 'sweeping', 'done', 'failed')),
      started_at INTEGER,
      ended_at INTEGER,
      error TEXT,
      skipped INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO rebuild (singleton, generation, complete, phase) VALUES (1, 1, 1, 'none');

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

export type RebuildPhase = "none" | "reading" | "sweeping" | "done" | "failed";

/** How a rebuild stands, or how the last one ended. Times in milliseconds since the epoch. */
export interface RebuildStatus {
  readonly phase: RebuildPhase;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly error: string | null;
  /** Messages that could not be read or handled, and were left out. */
  readonly skipped: number;
  /** Offsets that have been passed, and that are to be. */
  readonly read: number;
  readonly toRead: number;
}

interface PositionRow {
  readonly next: number;
  readonly target: number;
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
      status: sql.prepare<Omit<RebuildStatus, "read" | "toRead"> & { generation: number }, []>(
        `SELECT phase, generation, started_at AS startedAt, ended_at AS endedAt, error, skipped FROM rebuild`,
      ),
      progress: sql.prepare<{ read: number; toRead: number }, []>(
        `SELECT coalesce(sum(min(next_offset, target)), 0) AS read, coalesce(sum(target), 0) AS toRead
         FROM rebuild_positions`,
      ),
      begin: sql.prepare(
        `UPDATE rebuild SET generation = generation + 1, phase = 'reading', started_at = ?, ended_at = NULL,
           error = NULL, skipped = 0`,
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
      sweep: sql.prepare("UPDATE rebuild SET complete = generation, phase = 'sweeping'"),
      end: sql.prepare("UPDATE rebuild SET phase = ?, ended_at = ?, error = ?"),
    };
  }

  status(): RebuildStatus & { readonly generation: number } {
    const status = this.#statements.status.get();
    const progress = this.#statements.progress.get();
    if (status === null || progress === null) throw new Error("rebuild has lost its row");
    return { ...status, ...progress };
  }

  /** Everything that is written from now on belongs to the next generation. */
  begin(topics: readonly string[], now: number): void {
    this.#statements.begin.run(now);
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

  /** The new generation is whole. */
  beginSweep(): void {
    this.#statements.sweep.run();
  }

  /**
   * Drops what an older generation left over, among the rows of a table behind `after`.
   *
   * @param table a table of copies, with a rowid and a generation; a null generation is nobody's copy
   * @returns the row to go on behind; undefined at the end of the table
   */
  sweepSlice(table: string, after: number, rows: number): number | undefined {
    const { sql } = this.#database;
    using last = sql.prepare<{ rowid: number }, [number, number]>(
      `SELECT max(rowid) AS rowid FROM (SELECT rowid FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ?)`,
    );
    const end = last.get(after, rows)?.rowid ?? undefined;
    if (end === undefined) return undefined;
    sql.run(
      `DELETE FROM ${table} WHERE rowid > ? AND rowid <= ? AND generation < (SELECT complete FROM rebuild)`,
      [after, end],
    );
    return end;
  }

  end(phase: "done" | "failed", now: number, error: string | null): void {
    this.#statements.end.run(phase, now, error?.slice(0, MAX_ERROR_CHARACTERS) ?? null);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}
