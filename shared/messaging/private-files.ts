import { chmodSync, closeSync, openSync, statSync } from "node:fs";
import { errorText } from "./errors.ts";
import type { Logger } from "./runtime.ts";

const OTHERS = 0o077;
const STICKY = 0o1000;

/** Creates a file that its owner alone can read and write. One that exists stays as it is. */
export function createPrivateFile(path: string): void {
  try {
    // An existing file is not opened: closing it would release SQLite's locks on it (https://sqlite.org/howtocorrupt.html, 2.2).
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

/**
 * Takes the rights of the group and of others away from a file or a directory, and logs it when there were any. A
 * directory that is everybody's, such as `/tmp`, stays as it is, and so does what is missing.
 */
export function makePrivate(path: string, log: Logger): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || (stats.mode & OTHERS) === 0) return;
  if (stats.isDirectory() && (stats.mode & STICKY) !== 0) return;
  const mode = (stats.mode & 0o777).toString(8);
  try {
    chmodSync(path, stats.mode & 0o700);
    log.warn({ path, mode }, "others had access to a file or directory: it is its owner's only now");
  } catch (error) {
    log.error({ path, mode, error: errorText(error) }, "others have access to a file or directory");
  }
}
