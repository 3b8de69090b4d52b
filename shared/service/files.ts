import {
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

/**
 * Replaces a file, or creates it. Its readers see the former content or the new one, whole, also after a crash.
 *
 * @param mode its permissions
 */
export function replaceFile(path: string, content: string, mode: number): void {
  withTemporary(path, content, mode, (temporary) => renameSync(temporary, path));
}

/**
 * Creates a file, whole, unless there is one. Of several processes that do this at the same time, one creates it.
 *
 * @param mode its permissions
 */
export function createFile(path: string, content: string, mode: number): void {
  withTemporary(path, content, mode, (temporary) => {
    try {
      // Unlike a rename, a link does not replace a file.
      linkSync(temporary, path);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
  });
}

/** A file beside the path, which is complete when it is used, and gone afterwards. */
function withTemporary(path: string, content: string, mode: number, use: (temporary: string) => void): void {
  const temporary = `${path}.${process.pid}-${crypto.randomUUID()}`;
  try {
    const file = openSync(temporary, "wx", mode);
    try {
      // The umask does not apply.
      fchmodSync(file, mode);
      writeSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    use(temporary);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Whether a file, or a link to it, is there and another user has put it there: its owner is neither this user, nor root,
 * nor the owner of its directory. In a directory that is everybody's, such as `/tmp`, anybody can be the first to create
 * a file.
 */
export function isOfAnother(path: string): boolean {
  const found = [lstatSync(path, { throwIfNoEntry: false }), statSync(path, { throwIfNoEntry: false })];
  return found.some(
    (stats) =>
      stats !== undefined && ![process.getuid?.(), 0, statSync(dirname(path)).uid].includes(stats.uid),
  );
}
