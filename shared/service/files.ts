import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Replaces a file, or creates it. Its readers see the former content or the new one, whole, also after a crash.
 *
 * @param mode its permissions
 */
export function replaceFile(path: string, content: string, mode: number): void {
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
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Whether a file is there and another user has put it there: its owner is neither this user, nor root, nor the owner of
 * its directory. In a directory that is everybody's, such as `/tmp`, anybody can be the first to create a file.
 */
export function isOfAnother(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  return ![process.getuid?.(), 0, statSync(dirname(path)).uid].includes(stats.uid);
}
