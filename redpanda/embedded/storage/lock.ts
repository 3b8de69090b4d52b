/** The lock of a data directory: one broker at a time, in this process or another. */
import { join } from "node:path";
import type { Disk } from "./disk.ts";

interface Lock {
  release(): void;
}

/** SQLITE_BUSY, https://www.sqlite.org/rescode.html#busy */
const BUSY = 5;

/**
 * Creates the directory if it is missing and locks it.
 *
 * The lock is an exclusive SQLite transaction on an empty database. The kernel releases it when the process ends, so a
 * crash leaves no stale lock behind.
 *
 * @throws Error with the reason when the directory cannot be used, another broker holds the lock, or this runtime has no
 *   SQLite.
 */
export async function lockDirectory(disk: Disk, path: string): Promise<Lock> {
  // Not a static import: a broker in memory runs without it.
  const { DatabaseSync } = await import("node:sqlite").catch(() => {
    throw new Error("it needs Bun, or Node 22.13 or later; a broker in memory runs on this version too");
  });
  await disk.makeDirectory(path);
  const database = new DatabaseSync(join(path, "broker.lock"));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    const isLocked = error instanceof Error && "errcode" in error && error.errcode === BUSY;
    throw isLocked ? new Error(`${path} is in use by another broker`) : error;
  }
  return { release: () => database.close() };
}
