/**
 * Keeps two brokers from writing one data directory.
 *
 * The lock is SQLite's, that is the kernel's: it goes with the process, however that ends, so there is no pid file that
 * could be stale or name another process by now. Bun brings SQLite; the database itself stays empty.
 */
import { Database } from "bun:sqlite";

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
    throw error;
  }
  return { release: () => database.close() };
}
