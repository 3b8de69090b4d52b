/** The lock of a data directory: one broker at a time, in this process or another. */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import type { Disk } from "./disk.ts";

interface Lock {
  release(): void;
}

/**
 * Creates the directory if it is missing and locks it.
 *
 * The lock is an exclusive SQLite transaction on an empty database. The kernel releases it when the process ends, so a
 * crash leaves no stale lock behind.
 *
 * @throws Error with the reason when the directory cannot be used or another broker holds the lock.
 */
export async function lockDirectory(disk: Disk, path: string): Promise<Lock> {
  await disk.makeDirectory(path);
  const database = new Database(join(path, "broker.lock"));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    const isLocked = error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
    throw isLocked ? new Error(`${path} is in use by another broker`) : error;
  }
  return { release: () => database.close() };
}
