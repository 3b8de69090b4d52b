import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  errorText,
  type Logger,
  type Migration,
  makePrivate,
  migrate,
  openDatabase,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import type { CommonConfig } from "./config.ts";
import { StartError } from "./errors.ts";
import type { Lifecycle } from "./process.ts";

/**
 * Opens `<DATA_DIR>/<name>.sqlite` and brings its schema up to date. The lifecycle closes it.
 *
 * @param lock for how long a process that uses the file is waited for, and where that is reported
 * @throws StartError when the file cannot be used, or another process uses it
 */
export function openStorage(
  { name, migrations }: { readonly name: string; readonly migrations: readonly Migration[] },
  { DATA_DIR: directory, SQLITE_SYNCHRONOUS: synchronous }: CommonConfig,
  lifecycle: Lifecycle,
  lock: { readonly log: Logger; readonly lockWaitMs?: number },
): ServiceDatabase {
  ensureDataDir(directory, lock.log);
  try {
    const database = openDatabase(join(directory, `${name}.sqlite`), { synchronous, ...lock });
    lifecycle.add("database", { stop: () => database.close() });
    migrate(database, name, migrations);
    return database;
  } catch (error) {
    throw new StartError(`DATA_DIR: the database in '${directory}' cannot be used: ${errorText(error)}`);
  }
}

/** Whether a directory is one like /tmp: everybody may create files, of which each is its creator's. */
function isEverybodys(path: string): boolean {
  const STICKY_AND_WRITABLE = 0o1002;
  return (statSync(path).mode & STICKY_AND_WRITABLE) === STICKY_AND_WRITABLE;
}

/** A file that was put there while others could: it belongs neither to this user, nor to that of the directory or root. */
function entryOfAnother(path: string): string | undefined {
  const trusted = [process.getuid?.(), statSync(path).uid, 0];
  return readdirSync(path).find((name) => {
    // A temporary file may be gone meanwhile.
    const stats = lstatSync(join(path, name), { throwIfNoEntry: false });
    return stats !== undefined && !trusted.includes(stats.uid);
  });
}

/**
 * Creates the data directory if it is missing, makes it its owner's only, and checks that files can be created in it.
 *
 * @throws StartError that names the setting
 */
function ensureDataDir(path: string, log: Logger): void {
  // A directory's mode does not show that the file system is read-only or full; only a write does.
  const probe = join(path, `.probe-${process.pid}-${crypto.randomUUID()}`);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (isEverybodys(path)) {
      throw new StartError(
        `DATA_DIR: '${path}' is everybody's, and others could put keys in it; expected a directory of its own`,
      );
    }
    const foreign = entryOfAnother(path);
    if (foreign !== undefined) {
      throw new StartError(
        `DATA_DIR: '${join(path, foreign)}' belongs to another user; remove it, or chown it`,
      );
    }
    makePrivate(path, log);
    closeSync(openSync(probe, "wx"));
    rmSync(probe);
  } catch (error) {
    if (error instanceof StartError) throw error;
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new StartError(`DATA_DIR: files cannot be written in '${path}'${code}`);
  }
}
