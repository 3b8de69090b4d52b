import { Database } from "bun:sqlite";
import { DatabaseInUse } from "./errors.ts";
import { createPrivateFile, makePrivate } from "./private-files.ts";
import { type Logger, systemRuntime } from "./runtime.ts";

export interface Lock {
  release(): void;
}

/** A connection that nothing refers to is closed by the garbage collector, and its lock ends with it. */
const held = new Set<Database>();

/**
 * Keeps a second process off files that one process works on.
 *
 * The lock is one of SQLite, that is, of the kernel: it ends with the process, however that ends, so there is no pid
 * file that could be stale or name another process. The database itself stays empty.
 *
 * @param path the file that stands for what is locked; created when it is missing
 * @returns undefined when it is locked already, by this process or another
 * @throws SQLiteError when the file cannot be created or opened
 */
export function acquireLock(path: string): Lock | undefined {
  const database = new Database(path);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isLocked(error)) return undefined;
    throw error;
  }
  held.add(database);
  return {
    release: () => {
      held.delete(database);
      database.close();
    },
  };
}

/** How often a lock that is held is tried again. */
const POLL_MS = 50;

/**
 * Locks a database for this process. A process that was killed, or whose parent was, may hold the lock for a moment
 * longer, so it is waited for. The wait blocks the event loop.
 *
 * @param path of the database; the lock is a file beside it
 * @throws DatabaseInUse when the lock is still held after `waitMs`
 */
export function lockDatabase(path: string, waitMs: number, log: Logger): Lock {
  const lockPath = `${path.replace(/\.sqlite$/, "")}.lock`;
  const startedAt = systemRuntime.monotonic();
  createPrivateFile(lockPath);
  makePrivate(lockPath, log);
  let lock = acquireLock(lockPath);
  if (lock === undefined && waitMs > 0)
    log.warn({ path, waitMs }, "another process uses the database: waiting");
  while (lock === undefined) {
    if (systemRuntime.monotonic() - startedAt >= waitMs) {
      throw new DatabaseInUse(`${path} is in use by another process, or opened twice by this one`);
    }
    Bun.sleepSync(POLL_MS);
    lock = acquireLock(lockPath);
  }
  return lock;
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}
