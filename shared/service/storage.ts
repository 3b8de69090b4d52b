import { closeSync, mkdirSync, openSync, rmSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  errorText,
  hasChangeLog,
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
  config: CommonConfig,
  lifecycle: Lifecycle,
  lock: { readonly log: Logger; readonly lockWaitMs?: number },
): ServiceDatabase {
  ensureDataDir(config.DATA_DIR, lock.log);
  return inStorage(name, config, (path) => {
    const database = openDatabase(path, { synchronous: config.SQLITE_SYNCHRONOUS, ...lock });
    lifecycle.add("database", { stop: () => database.close() });
    if (hasChangeLog(database)) throw new Error("it is that of one of several instances: set REPLICATION=on");
    migrate(database, name, migrations, lock.log);
    reclaimSpace(database, lock.log);
    return database;
  });
}

/**
 * Opens something on `<DATA_DIR>/<name>.sqlite`.
 *
 * @throws StartError when the file belongs to another user, or it cannot be opened
 */
export function inStorage<T>(
  name: string,
  { DATA_DIR: directory }: CommonConfig,
  open: (path: string) => T,
): T {
  const path = join(directory, `${name}.sqlite`);
  // SQLite takes what is in a log or a journal beside the database for its own.
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`]) {
    if (isOfAnother(file)) throw new StartError(`DATA_DIR: '${file}' belongs to another user`);
  }
  try {
    return open(path);
  } catch (error) {
    throw new StartError(`DATA_DIR: the database in '${directory}' cannot be used: ${errorText(error)}`);
  }
}

/** A file with less in free pages, or in which they are the lesser part, is left as it is: new rows use them again. */
const MIN_FREE_BYTES = 64 * 1024 * 1024;
/** About a megabyte, which takes a few milliseconds. */
const STEP_PAGES = 256;

/** What a database takes of its disk, in bytes; undefined where it is not mostly free pages. */
function mostlyFree({ sql }: ServiceDatabase, minFreeBytes: number) {
  const pragma = (name: string) => Number(Object.values(sql.query(`PRAGMA ${name}`).get() ?? {})[0]);
  const pageBytes = pragma("page_size");
  const freeBytes = pragma("freelist_count") * pageBytes;
  const bytes = pragma("page_count") * pageBytes - freeBytes;
  return freeBytes < minFreeBytes || freeBytes < bytes ? undefined : { freeBytes, bytes };
}

/**
 * Gives some of the free pages of a database back to the disk where they are most of it: after retention was set for the
 * first time, or to a shorter time. Runs in a unit of work.
 *
 * @param minFreeBytes with less in free pages, nothing happens
 * @returns whether it did: there may be more
 */
export function giveBackPages(database: ServiceDatabase, minFreeBytes = MIN_FREE_BYTES): boolean {
  const before = mostlyFree(database, minFreeBytes);
  if (before === undefined) return false;
  database.sql.run(`PRAGMA incremental_vacuum(${STEP_PAGES})`);
  // A file of an earlier version has to be copied first, by `reclaimSpace`.
  return mostlyFree(database, minFreeBytes)?.freeBytes !== before.freeBytes;
}

/**
 * Copies a database that is mostly free pages, at a start: those of earlier versions cannot give them back in steps before
 * that. The copy needs space for what is left, twice: it goes through the write-ahead log.
 *
 * @param minFreeBytes with less in free pages, nothing happens
 */
export function reclaimSpace(database: ServiceDatabase, log: Logger, minFreeBytes = MIN_FREE_BYTES): void {
  const { sql, path } = database;
  const free = mostlyFree(database, minFreeBytes);
  if (free === undefined) return;
  const { freeBytes, bytes } = free;
  const { bavail, bsize } = statfsSync(dirname(path));
  if (bavail * bsize < 2 * bytes) {
    log.warn({ freeBytes }, "most of the database is free pages, the disk has no space to copy it");
    return;
  }
  sql.run("VACUUM");
  sql.run("PRAGMA wal_checkpoint(TRUNCATE)");
  log.info({ freedBytes: freeBytes, bytes }, "the free pages of the database were given back");
}

/**
 * Creates the data directory if it is missing, makes it its owner's only, and checks that files can be created in it.
 *
 * @throws StartError that names the setting
 */
export function ensureDataDir(path: string, log: Logger): void {
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
