import { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { type BunSQLiteDatabase, drizzle } from "drizzle-orm/bun-sqlite";
import { type NotOwner, UsageError } from "./errors.ts";
import { lockDatabase } from "./lock.ts";
import { createPrivateFile, makePrivate } from "./private-files.ts";
import { type Logger, silentLogger } from "./runtime.ts";

/** The SQLite file of one service: `sql` for the kit's statements, `orm` for those of the service. */
export interface ServiceDatabase {
  readonly sql: Database;
  readonly orm: BunSQLiteDatabase;
  readonly path: string;
  /** Of a replicated service: what has to be in the change log before anything of it is told to anybody. */
  readonly replication?: GroupLog;
  close(): void;
}

/** The change log of a replicated service, as its leader writes it. */
export interface GroupLog {
  /** Called once all tables exist, before anything else is written. May be called again. */
  begin(): void;
  /** In the transaction of a group, at its end: stores what it changed. @throws NotOwner when another instance leads */
  store(): void;
  /** After the commit of a group: calls back once it is confirmed, or with the reason why that is not known. */
  committed(callback: (error?: Error) => void): void;
  /**
   * Runs a change of the schema, which in its transaction hands over the statements that it ran.
   *
   * @throws NotOwner when another instance leads: nothing is changed
   */
  changeSchema(change: (store: (statements: readonly string[]) => void) => void): void;
  /** The process stops: waits for what is not confirmed, but not for long. From then on nobody waits longer; whoever does, gets an error. */
  drain(): Promise<void>;
  /** The work of the service has ended, and nothing is stored any more: another instance may lead. May be called again. */
  release(): Promise<void>;
  /** Called when another instance leads. */
  onLost(listener: (reason: NotOwner) => void): void;
}

type Synchronous = "FULL" | "EXTRA" | "NORMAL" | "OFF";

/** How long `openDatabase` waits for the process that used the file before: one that was killed ends within that. */
const LOCK_WAIT_MS = 5_000;

/** What stays of a write-ahead log whose content is in the database. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

export interface OpenOptions {
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
      // Counts for a file without tables, and for others from their next VACUUM on.
      sql.run("PRAGMA auto_vacuum = INCREMENTAL");
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
  /**
   * Versions without this step work on a database that has it: it only creates tables and indexes, and adds columns that
   * code without it does not have to write. Such a version then starts on the database, and refuses it otherwise.
   */
  readonly additive?: boolean;
}

/** The schema of a database is not one that this version of the code knows. */
export class MigrationMismatch extends Error {
  override readonly name = "MigrationMismatch";
}

/**
 * Applies the missing steps of a schema in one transaction. Steps of a newer version stay, if that marked them as additive.
 *
 * @param scope whose schema it is: one file holds the tables of the kit and those of the service
 * @param log gets a line about those
 * @throws MigrationMismatch when an applied step differs, or is unknown here and not additive; nothing is changed then.
 *   UsageError when a step that is to be applied is marked as additive and is not
 */
export function migrate(
  database: ServiceDatabase,
  scope: string,
  migrations: readonly Migration[],
  log: Logger = silentLogger,
): void {
  const { sql, replication } = database;
  let newer: readonly string[] = [];
  const apply = (store: (statements: readonly string[]) => void) => {
    sql.run(
      `CREATE TABLE IF NOT EXISTS migrations (
           scope TEXT NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL,
           additive INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (scope, step)
         ) WITHOUT ROWID`,
    );
    // Of a database from before that column, no step is additive.
    const column = "SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'additive'";
    if (sql.query(column).get() === null) {
      sql.run("ALTER TABLE migrations ADD COLUMN additive INTEGER NOT NULL DEFAULT 0");
    }
    const applied = appliedSteps(database, scope);
    const mismatch = mismatchOf(database, scope, migrations);
    if (mismatch !== undefined) throw new MigrationMismatch(`${database.path}: ${mismatch}`);
    for (const [index, migration] of [...migrations.entries()].slice(applied.length)) {
      const { name, additive = false } = migration;
      if (additive) refuseChanges(migration);
      sql.run(migration.sql);
      sql.run("INSERT INTO migrations (scope, step, name, checksum, additive) VALUES (?, ?, ?, ?, ?)", [
        ...[scope, index + 1, name, checksum(migration)],
        Number(additive),
      ]);
    }
    newer = applied.slice(migrations.length).map(({ name }) => name);
    store(migrations.slice(applied.length).map((migration) => migration.sql));
  };
  const change = (store: (statements: readonly string[]) => void) =>
    sql.transaction(() => apply(store)).immediate();
  if (replication === undefined) change(() => {});
  else replication.changeSchema(change);
  if (newer.length > 0) log.warn({ scope, steps: newer }, "a newer version has added to this database");
}

/**
 * Changes rows before there is a unit of work: in a transaction of its own which, of a replicated service, is a group, too.
 * Otherwise the change would be in the change log with the next group only, and not at all if the process ends before that.
 *
 * @throws NotOwner when another instance leads: nothing is changed
 */
export function changeRows({ sql, replication }: ServiceDatabase, change: () => void): void {
  sql
    .transaction(() => {
      change();
      replication?.store();
    })
    .immediate();
  replication?.committed(() => {});
}

interface AppliedStep {
  readonly name: string;
  readonly checksum: string;
  readonly additive: 0 | 1;
}

function appliedSteps({ sql }: Pick<ServiceDatabase, "sql">, scope: string): AppliedStep[] {
  return sql
    .query<AppliedStep, [string]>(
      "SELECT name, checksum, additive FROM migrations WHERE scope = ? ORDER BY step",
    )
    .all(scope);
}

/** Why this version of the code cannot work with the schema of a database; undefined when it can. */
export function mismatchOf(
  database: Pick<ServiceDatabase, "sql">,
  scope: string,
  migrations: readonly Migration[],
): string | undefined {
  const column = "SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'additive'";
  if (database.sql.query(column).get() === null) return undefined;
  for (const [index, row] of appliedSteps(database, scope).entries()) {
    const known = migrations[index];
    if (known === undefined ? row.additive === 1 : checksum(known) === row.checksum) continue;
    const here =
      known === undefined
        ? "no such step, and cannot work with it: start the version that applied it, or a later one"
        : `"${known.name}", which differs`;
    return `step ${index + 1} of the ${scope} schema was applied as "${row.name}", this version has ${here}`;
  }
  return undefined;
}

/** What a version that knows nothing of it need not know. A unique index or a trigger would concern what it writes. */
const ADDITION = /^(CREATE TABLE|CREATE INDEX|ALTER TABLE \S+ ADD( COLUMN)?) /i;

/** @throws UsageError when a step does anything but add tables, indexes and columns */
function refuseChanges({ name, sql }: Migration): void {
  const statements = sql
    .replaceAll(/--.*$/gm, "")
    .split(";")
    .map((statement) => statement.trim().replaceAll(/\s+/g, " "));
  const change = statements.find((statement) => statement !== "" && !ADDITION.test(`${statement} `));
  if (change !== undefined) throw new UsageError(`the step "${name}" is not additive: ${change}`);
}

/** The steps of a schema that were applied to a database and that this version of the code does not know. */
export function newerSteps(
  { sql }: Pick<ServiceDatabase, "sql">,
  scope: string,
  migrations: readonly Migration[],
): string[] {
  return sql
    .query<{ name: string }, [string, number]>(
      "SELECT name FROM migrations WHERE scope = ? AND step > ? ORDER BY step",
    )
    .all(scope, migrations.length)
    .map(({ name }) => name);
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
