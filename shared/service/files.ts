import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";

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
