/**
 * Keeps two brokers from writing one data directory.
 *
 * The lock is SQLite's, that is the kernel's: it goes with the process, however that ends, so there is no pid file that
 * could be stale or name another process by now. Bun brings SQLite; the database itself stays empty.
 */
import { Database } from "bun:sqlite";
import { dirname } from "node:path";

export interface Lock {
  release(): void;
}

/** @throws Error when another broker, in this process or another, has the lock. */
export function acquireLock(path: string): Lock {
  const database = new Database(path);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!isLocked(error)) throw error;
    throw new Error(`${dirname(path)} is in use by another broker`);
  }
  return { release: () => database.close() };
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}
