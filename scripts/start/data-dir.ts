import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { serviceNames } from "@distributed-messaging/services/registry";

/** The data directory cannot be used as asked. The message is one line for the user. */
export class DataDirError extends Error {
  override readonly name = "DataDirError";
}

/**
 * Claims a data directory for this process, so that no second store runs on the same files. The claim is the
 * system's lock on an SQLite file: it ends with the process, however that ends.
 *
 * @returns gives the claim back
 * @throws DataDirError when another process has it, or it cannot be written
 */
export function claimDataDir(dataDir: string): () => void {
  const path = resolve(dataDir);
  let lock: Database;
  try {
    mkdirSync(path, { recursive: true });
    lock = new Database(join(path, "start.lock"), { create: true });
  } catch (error) {
    throw new DataDirError(`DATA_DIR: files cannot be written in '${dataDir}'${codeOf(error)}`);
  }
  try {
    lock.run("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if (!/BUSY|LOCKED/.test(codeOf(error))) {
      throw new DataDirError(`DATA_DIR: files cannot be written in '${dataDir}'${codeOf(error)}`);
    }
    throw new DataDirError(
      `DATA_DIR: another store runs on '${dataDir}'; stop it, or set DATA_DIR to another directory`,
    );
  }
  return () => lock.close();
}

/**
 * Deletes what the broker and the services keep in a data directory, and nothing else that is there.
 *
 * @throws DataDirError, before anything is deleted, when one of the files is in use
 */
export function wipeDataDir(dataDir: string): void {
  const owners = ["broker", ...serviceNames];
  const ours = existsSync(dataDir)
    ? readdirSync(dataDir).filter((entry) =>
        owners.some((owner) => entry === owner || entry.startsWith(`${owner}.`)),
      )
    : [];
  for (const entry of ours) {
    if (entry.endsWith(".sqlite") && isOpenElsewhere(join(dataDir, entry))) {
      throw new DataDirError(
        `DATA_DIR: '${join(dataDir, entry)}' is in use; stop what runs on it before --fresh`,
      );
    }
  }
  for (const entry of ours) rmSync(join(dataDir, entry), { recursive: true, force: true });
}

/** Whether another process has a database in WAL mode open: then no exclusive lock on it can be had. */
function isOpenElsewhere(path: string): boolean {
  let database: Database | undefined;
  try {
    database = new Database(path);
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    database.run("BEGIN IMMEDIATE");
    database.run("ROLLBACK");
    return false;
  } catch (error) {
    // Anything else, such as a file that is no database, is what --fresh is for.
    return /BUSY|LOCKED/.test(codeOf(error));
  } finally {
    database?.close();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
}
