import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureDataDir } from "./data-dir.ts";
import { StartError } from "./errors.ts";

test("ensureDataDir makes the directory and leaves nothing in it, or says which setting is wrong", () => {
  const root = mkdtempSync(join(tmpdir(), "data-dir-"));
  try {
    const path = join(root, "a", "b");
    ensureDataDir(path);
    ensureDataDir(path);
    expect(readdirSync(path)).toEqual([]);
    // A file where the directory should be: refused for root as well, whom no mode stops.
    writeFileSync(join(root, "file"), "");
    for (const bad of [join(root, "file"), join(root, "file", "below"), "/proc/nothing"]) {
      expect(() => ensureDataDir(bad)).toThrow(StartError);
      expect(() => ensureDataDir(bad)).toThrow("DATA_DIR: files cannot be written in");
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});
