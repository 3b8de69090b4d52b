import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { StartError } from "@distributed-messaging/service/errors";
import { processNames } from "./store.ts";

/**
 * Locks a data directory, so that no second store uses the same files. The lock is the operating system's lock on an
 * SQLite file, which ends with this process in whatever way that ends.
 *
 * @returns releases the lock
 * @throws StartError when another process holds the lock, or the directory is not writable
 */
export function lockDataDir(dataDir: string): () => void {
  const path = resolve(dataDir);
  const notWritable = (error: unknown) =>
    new StartError(`DATA_DIR: cannot write files in '${dataDir}'${codeOf(error)}`);
  let lock: Database;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    lock = new Database(join(path, "start.lock"), { create: true });
  } catch (error) {
    throw notWritable(error);
  }
  try {
    lock.run("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if (!isLocked(error)) throw notWritable(error);
    throw new StartError(
      `DATA_DIR: another store uses '${dataDir}'; stop it, or set DATA_DIR to another directory`,
    );
  }
  return () => lock.close();
}

/**
 * Deletes the data of the broker and of the services, and no other file.
 *
 * @throws StartError, before anything is deleted, when a service uses its database
 */
export function wipeDataDir(dataDir: string): void {
  const entries = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const own = entries.filter((entry) =>
    processNames.some((name) => entry === name || entry.startsWith(`${name}.`)),
  );
  for (const entry of own) {
    if (entry.endsWith(".sqlite") && isInUse(join(dataDir, entry))) {
      throw new StartError(
        `DATA_DIR: '${join(dataDir, entry)}' is in use; stop the process that uses it before --fresh`,
      );
    }
  }
  for (const entry of own) rmSync(join(dataDir, entry), { recursive: true, force: true });
}

/** Whether another process has the database open in WAL mode, which precludes an exclusive lock. */
function isInUse(path: string): boolean {
  let database: Database | undefined;
  try {
    database = new Database(path);
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    database.run("BEGIN IMMEDIATE");
    database.run("ROLLBACK");
    return false;
  } catch (error) {
    // --fresh is a remedy for any other error, such as a damaged file.
    return isLocked(error);
  } finally {
    database?.close();
  }
}

function isLocked(error: unknown): boolean {
  return /BUSY|LOCKED/.test(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
}
