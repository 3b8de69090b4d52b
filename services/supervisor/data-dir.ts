import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { StartError } from "@distributed-messaging/service/errors";
import { processNames } from "./store.ts";

export interface DataDirLock {
  /** Tells who tries to lock it where the store is. */
  announce(url: string): void;
  release(): void;
}

/** Where the store is whose process holds the lock. */
const ADDRESS_FILE = "start.url";

/**
 * Locks a data directory, so that no second store uses the same files. The lock is the operating system's lock on an
 * SQLite file, which ends with this process in whatever way that ends.
 *
 * @throws StartError when another process holds the lock, or the directory is not writable
 */
export function lockDataDir(dataDir: string): DataDirLock {
  const path = resolve(dataDir);
  const address = join(path, ADDRESS_FILE);
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
    const url = textOf(address);
    throw new StartError(
      url !== undefined
        ? alreadyRuns(url)
        : `DATA_DIR: another store uses '${dataDir}'; stop it, or set DATA_DIR to another directory`,
    );
  }
  // The process that wrote it may have been killed.
  rmSync(address, { force: true });
  return {
    announce: (url) => writeFileSync(address, url),
    release: () => {
      rmSync(address, { force: true });
      lock.close();
    },
  };
}

/** The text of a file, which another process may be deleting. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** What is said when a store is started where one runs. */
export function alreadyRuns(url: string): string {
  return `The store already runs here: ${url}`;
}

const PROCESSES_FILE = "processes.lock";
/** Longer than a process takes to stop by itself, or to be killed, after its supervisor has ended: watch-parent.ts. */
const PROCESSES_TIMEOUT_MS = 20_000;

/** The file on which each process of the store holds a shared lock until it ends, in whatever way. */
export function processesLock(dataDir: string): string {
  return join(resolve(dataDir), PROCESSES_FILE);
}

/**
 * Waits until the processes of a store that was killed have ended: they notice it, and stop, a little later.
 *
 * @param onWait called when there are any
 * @throws StartError when some do not end
 */
export async function untilProcessesEnded(
  dataDir: string,
  onWait: () => void,
  timeoutMs = PROCESSES_TIMEOUT_MS,
): Promise<void> {
  const startedAt = performance.now();
  for (let isFirst = true; isHeld(processesLock(dataDir)); isFirst = false) {
    if (isFirst) onWait();
    if (performance.now() - startedAt > timeoutMs) {
      throw new StartError(
        `DATA_DIR: processes of a store that was killed still use '${dataDir}' after ${timeoutMs / 1_000} s; end them`,
      );
    }
    await Bun.sleep(50);
  }
}

function isHeld(path: string): boolean {
  const database = new Database(path, { create: true });
  try {
    database.run("BEGIN EXCLUSIVE");
    return false;
  } catch (error) {
    if (!isLocked(error)) throw error;
    return true;
  } finally {
    database.close();
  }
}

/** Says how many instances the services had that may have several. Such a service stays replicated. */
const REPLICAS_FILE = "replicas";

/** How many instances a store with this data directory had; undefined where its services were not replicated. */
export function replicasIn(dataDir: string): number | undefined {
  const text = textOf(join(dataDir, REPLICAS_FILE));
  return text === undefined ? undefined : Number(text);
}

export function rememberReplicas(dataDir: string, replicas: number): void {
  writeFileSync(join(dataDir, REPLICAS_FILE), String(replicas));
}

/**
 * Deletes the data of the broker and of the services, and no other file.
 *
 * @throws StartError, before anything is deleted, when a service uses its database
 */
export function wipeDataDir(dataDir: string): void {
  const entries = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const isReplica = (entry: string) => /^replica-\d+$/.test(entry);
  const own = entries.filter(
    (entry) =>
      entry === REPLICAS_FILE ||
      isReplica(entry) ||
      processNames.some((name) => entry === name || entry.startsWith(`${name}.`)),
  );
  const files = own.flatMap((entry) =>
    isReplica(entry) ? readdirSync(join(dataDir, entry)).map((file) => join(entry, file)) : [entry],
  );
  for (const file of files) {
    if (file.endsWith(".sqlite") && isInUse(join(dataDir, file))) {
      throw new StartError(
        `DATA_DIR: '${join(dataDir, file)}' is in use; stop the process that uses it before --fresh`,
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
