import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "./errors.ts";
import { ensureDataDir } from "./storage.ts";

test("ensureDataDir creates the directory and leaves no file in it, or names the setting", () => {
  const root = mkdtempSync(join(tmpdir(), "data-dir-"));
  try {
    const path = join(root, "a", "b");
    ensureDataDir(path);
    ensureDataDir(path);
    expect(readdirSync(path)).toEqual([]);
    // A file in place of the directory is refused for root, too; a mode would not be.
    writeFileSync(join(root, "file"), "");
    for (const bad of [join(root, "file"), join(root, "file", "below"), "/proc/nothing"]) {
      expect(() => ensureDataDir(bad)).toThrow(StartError);
      expect(() => ensureDataDir(bad)).toThrow("DATA_DIR: files cannot be written in");
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});
