import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "./errors.ts";

/**
 * Makes sure that files can be made in a directory, creating it when it is missing.
 *
 * @throws StartError that names the setting
 */
export function ensureDataDir(path: string, setting = "DATA_DIR"): void {
  // A directory's mode does not say what a read-only or a full disk will: only writing does.
  const probe = join(path, `.probe-${process.pid}-${crypto.randomUUID()}`);
  try {
    mkdirSync(path, { recursive: true });
    closeSync(openSync(probe, "wx"));
    rmSync(probe);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new StartError(`${setting}: files cannot be written in '${path}'${code}`);
  }
}
