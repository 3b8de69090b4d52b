import { closeSync, existsSync, fsyncSync, openSync, renameSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Puts a file in the place of a database that nobody uses. The former one is kept beside it.
 *
 * @returns where that is
 */
export function replaceDatabase(path: string, by: string): string {
  sync(by);
  const former = `${path}.before-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
  // The log first: without it, the former database is one that lost its last commits, and not a mixture of two.
  for (const end of ["-wal", "-shm", ""]) {
    if (existsSync(`${path}${end}`)) renameSync(`${path}${end}`, `${former}${end}`);
  }
  renameSync(by, path);
  sync(dirname(path));
  return former;
}

/** @param path of a file or a folder */
function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
