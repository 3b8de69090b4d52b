import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockDataDir, wipeDataDir } from "./data-dir.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "data dir-"));
  folders.push(path);
  return path;
}

test("only one store can lock a data directory", () => {
  const path = join(folder(), "new", "data");
  const release = lockDataDir(path);
  expect(() => lockDataDir(path)).toThrow(`another store uses '${path}'`);
  release();
  lockDataDir(path)();
});

test("a data directory that cannot be created is one line", () => {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  expect(() => lockDataDir(file)).toThrow(/^DATA_DIR: cannot write files in '.*' \(EEXIST\)$/);
});

test("wiping deletes the data of the store and no other file", () => {
  const path = folder();
  mkdirSync(join(path, "broker"));
  writeFileSync(join(path, "broker", "log"), "x");
  for (const name of ["order.sqlite", "order.sqlite-wal", "api-gateway.sqlite", "thesis.txt", "orders.csv"]) {
    writeFileSync(join(path, name), "x");
  }
  wipeDataDir(path);
  expect(readdirSync(path).toSorted()).toEqual(["orders.csv", "thesis.txt"]);
});

test("wiping fails while a service has its database open", () => {
  const path = folder();
  mkdirSync(join(path, "broker"));
  const database = new Database(join(path, "order.sqlite"), { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("CREATE TABLE t (a)");
  expect(() => wipeDataDir(path)).toThrow(
    "order.sqlite' is in use; stop the process that uses it before --fresh",
  );
  expect(readdirSync(path)).toContain("broker");
  database.close();
  wipeDataDir(path);
  expect(readdirSync(path)).toEqual([]);
});

test("wiping a directory that does not exist", () => {
  wipeDataDir(join(folder(), "absent"));
});
