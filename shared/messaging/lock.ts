import { Database } from "bun:sqlite";

interface Lock {
  release(): void;
}

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
  return { release: () => database.close() };
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}
