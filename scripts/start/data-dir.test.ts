import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimDataDir, wipeDataDir } from "./data-dir.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "data dir-"));
  folders.push(path);
  return path;
}

test("only one at a time has a data directory", () => {
  const path = join(folder(), "new", "data");
  const release = claimDataDir(path);
  expect(() => claimDataDir(path)).toThrow(`another store runs on '${path}'`);
  release();
  claimDataDir(path)();
});

test("a data directory that cannot be made is one line", () => {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  expect(() => claimDataDir(file)).toThrow(/^DATA_DIR: files cannot be written in '.*' \(EEXIST\)$/);
});

test("wiping deletes what the store keeps, and nothing else", () => {
  const path = folder();
  mkdirSync(join(path, "broker"));
  writeFileSync(join(path, "broker", "log"), "x");
  for (const name of ["order.sqlite", "order.sqlite-wal", "api-gateway.sqlite", "thesis.txt", "orders.csv"]) {
    writeFileSync(join(path, name), "x");
  }
  wipeDataDir(path);
  expect(readdirSync(path).toSorted()).toEqual(["orders.csv", "thesis.txt"]);
});

test("wiping refuses while a service has its database open", () => {
  const path = folder();
  mkdirSync(join(path, "broker"));
  const database = new Database(join(path, "order.sqlite"), { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("CREATE TABLE t (a)");
  expect(() => wipeDataDir(path)).toThrow("order.sqlite' is in use; stop what runs on it before --fresh");
  expect(readdirSync(path)).toContain("broker");
  database.close();
  wipeDataDir(path);
  expect(readdirSync(path)).toEqual([]);
});

test("wiping nothing is fine", () => {
  wipeDataDir(join(folder(), "absent"));
});
