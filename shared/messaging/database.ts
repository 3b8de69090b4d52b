import { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { type BunSQLiteDatabase, drizzle } from "drizzle-orm/bun-sqlite";
import { lockDatabase } from "./lock.ts";
import { createPrivateFile, makePrivate } from "./private-files.ts";
import { type Logger, silentLogger } from "./runtime.ts";

/** The SQLite file of one service: `sql` for the kit's statements, `orm` for those of the service. */
export interface ServiceDatabase {
  readonly sql: Database;
  readonly orm: BunSQLiteDatabase;
  readonly path: string;
  close(): void;
}

type Synchronous = "FULL" | "EXTRA" | "NORMAL" | "OFF";

/** How long `openDatabase` waits for the process that used the file before: one that was killed ends within that. */
const LOCK_WAIT_MS = 5_000;

/** What stays of a write-ahead log whose content is in the database. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

interface OpenOptions {
  /**
   * With `FULL`, the default, a commit is on disk before it returns; with less it may be lost with the power
   * (https://www.sqlite.org/pragma.html#pragma_synchronous).
   */
  readonly synchronous?: Synchronous;
  /** How long to wait for another process that uses the file, in milliseconds. */
  readonly lockWaitMs?: number;
  /** Where the wait, and files that others could read, are reported. */
  readonly log?: Logger;
}

/**
 * Opens or creates a database, in WAL mode, and locks it until it is closed. A second process on the same file would
 * run a second relay and a second consumer, which breaks the order of messages. The lock, a file beside the database,
 * ends with the process, however that ends. The files are readable by their owner only; where they were not, that is
 * logged.
 *
 * @param path a file, or `:memory:`
 * @throws DatabaseInUse when it is open already, here or in another process; SQLiteError when the file cannot be
 *   created or is not a database
 */
export function openDatabase(path: string, options: OpenOptions = {}): ServiceDatabase {
  const { synchronous = "FULL", lockWaitMs = LOCK_WAIT_MS, log = silentLogger } = options;
  const isFile = path !== ":memory:";
  if (isFile) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The same file by another name is locked, too.
  const lock = isFile
    ? lockDatabase(existsSync(path) ? realpathSync(path) : path, lockWaitMs, log)
    : undefined;
  try {
    if (isFile) {
      // SQLite gives the files beside the database its permissions.
      createPrivateFile(path);
      for (const file of [path, `${path}-wal`, `${path}-shm`]) makePrivate(file, log);
    }
    const sql = new Database(path, { create: true, strict: true });
    try {
      sql.run("PRAGMA journal_mode = WAL");
      sql.run(`PRAGMA synchronous = ${synchronous}`);
      // A large transaction, or a reader that stayed for long, lets the log grow: it is cut off when it is used again.
      sql.run(`PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`);
      sql.run("PRAGMA busy_timeout = 5000");
      sql.run("PRAGMA foreign_keys = ON");
    } catch (error) {
      sql.close();
      throw error;
    }
    const close = () => {
      sql.close();
      lock?.release();
    };
    return { sql, orm: drizzle(sql), path, close };
  } catch (error) {
    lock?.release();
    throw error;
  }
}

/** A step of a schema. Once released it never changes, comments included: a correction is another step. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

/** The schema of a database is not one that this version of the code knows. */
export class MigrationMismatch extends Error {
  override readonly name = "MigrationMismatch";
}

/**
 * Applies the missing steps of a schema in one transaction.
 *
 * @param scope whose schema it is: one file holds the tables of the kit and those of the service
 * @throws MigrationMismatch when an applied step is unknown here or differs
 */
export function migrate(database: ServiceDatabase, scope: string, migrations: readonly Migration[]): void {
  const { sql } = database;
  sql.run(
    `CREATE TABLE IF NOT EXISTS migrations (
       scope TEXT NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL,
       PRIMARY KEY (scope, step)
     ) WITHOUT ROWID`,
  );
  sql
    .transaction(() => {
      const applied = sql
        .query<{ name: string; checksum: string }, [string]>(
          "SELECT name, checksum FROM migrations WHERE scope = ? ORDER BY step",
        )
        .all(scope);
      for (const [index, row] of applied.entries()) {
        const known = migrations[index];
        if (known === undefined || checksum(known) !== row.checksum) {
          throw new MigrationMismatch(
            `${database.path}: step ${index + 1} of the ${scope} schema was applied as "${row.name}", ` +
              `this version has ${known === undefined ? "no such step" : `"${known.name}", which differs`}`,
          );
        }
      }
      for (const [index, migration] of [...migrations.entries()].slice(applied.length)) {
        sql.run(migration.sql);
        sql.run("INSERT INTO migrations VALUES (?, ?, ?, ?)", [
          scope,
          index + 1,
          migration.name,
          checksum(migration),
        ]);
      }
    })
    .immediate();
}

function checksum(migration: Migration): string {
  return createHash("sha256").update(migration.sql).digest("hex").slice(0, 16);
}

/**
 * Whether the storage, not the statement, is at fault. SQLite may have rolled the whole transaction back
 * (https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction).
 */
export function isStorageFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // Without a code: it was closed before the kit was stopped.
  if (error.message === "Database has closed") return true;
  const code = "code" in error ? String(error.code) : "";
  return /^SQLITE_(FULL|IOERR|READONLY|CANTOPEN|NOMEM|BUSY|LOCKED|CORRUPT|NOTADB|PROTOCOL)/.test(code);
}
