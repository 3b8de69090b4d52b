import { Database } from "bun:sqlite";

export interface Lock {
  release(): void;
}

/**
 * Keeps two processes from working on the same files, each of them with a memory of its own of what is in them.
 *
 * The lock is SQLite's, that is the kernel's: it goes with the process, however that ends, so there is no pid file
 * that could be stale or name another process by now. The database itself stays empty.
 *
 * @param path the file that stands for what is locked; made when it is missing
 * @returns undefined when somebody else has it, in this process or another
 * @throws SQLiteError when the file cannot be made or opened
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
