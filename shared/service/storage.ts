import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
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
import { isOfAnother } from "./files.ts";
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
  const path = join(directory, `${name}.sqlite`);
  // SQLite takes what is in a log or a journal beside the database for its own.
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`]) {
    if (isOfAnother(file)) throw new StartError(`DATA_DIR: '${file}' belongs to another user`);
  }
  try {
    const database = openDatabase(path, { synchronous, ...lock });
    lifecycle.add("database", { stop: () => database.close() });
    migrate(database, name, migrations, lock.log);
    return database;
  } catch (error) {
    throw new StartError(`DATA_DIR: the database in '${directory}' cannot be used: ${errorText(error)}`);
  }
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
    makePrivate(path, log);
    closeSync(openSync(probe, "wx"));
    rmSync(probe);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new StartError(`DATA_DIR: files cannot be written in '${path}'${code}`);
  }
}
