import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { openDatabase, type ServiceDatabase } from "@distributed-messaging/messaging";
import { serviceNames } from "@distributed-messaging/services/registry";
import { StoreSettings } from "../testing/store-process.ts";

/* With services that are stopped, or of which a test holds the database. A store that runs is in e2e/drills. */

let store: StoreSettings;
const opened: ServiceDatabase[] = [];
beforeEach(async () => {
  store = new StoreSettings();
  expect((await store.run("start-persistence.ts")).exitCode).toBe(0);
});
afterEach(() => {
  for (const database of opened.splice(0)) database.close();
  store.remove();
});

const dataDir = () => store.env.DATA_DIR ?? "";
const path = (name: string) => join(dataDir(), `${name}.sqlite`);
const folder = () => join(dataDir(), "..", "backup");

/** Uses a database as its service does. */
function use(name: string): ServiceDatabase {
  const database = openDatabase(path(name));
  opened.push(database);
  return database;
}

const markOf = (file: string) => {
  using database = new Database(file, { readonly: true });
  return database.query("SELECT note FROM marks").values().flat();
};

/** Writes into a database, and leaves it in its write-ahead log. */
function mark(database: ServiceDatabase, note: string): void {
  database.sql.run("CREATE TABLE IF NOT EXISTS marks (note TEXT)");
  database.sql.run("DELETE FROM marks");
  database.sql.run("INSERT INTO marks VALUES (?)", [note]);
}

test("a backup has what is committed, also in the log of a database that is in use, and is its owner's only", async () => {
  const order = use("order");
  mark(order, "committed");
  order.sql.run("BEGIN IMMEDIATE");
  order.sql.run("UPDATE marks SET note = 'not committed'");
  const { exitCode, stdout, stderr } = await store.run("backup.ts", ["--to", folder()]);
  order.sql.run("ROLLBACK");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout.trim().split("\n")).toHaveLength(serviceNames.length);
  expect(readdirSync(folder()).sort()).toEqual(serviceNames.map((name) => `${name}.sqlite`).sort());
  expect(markOf(join(folder(), "order.sqlite"))).toEqual(["committed"]);
  expect(statSync(join(folder(), "order.sqlite")).mode & 0o777).toBe(0o600);
  expect(statSync(folder()).mode & 0o777).toBe(0o700);
});

slowTest("a backup replaces nothing, and is not begun where one of its files is there already", async () => {
  expect((await store.run("backup.ts", ["--to", folder(), "order"])).exitCode).toBe(0);
  const before = readFileSync(join(folder(), "order.sqlite"));
  mark(use("order"), "later");
  const { exitCode, stderr } = await store.run("backup.ts", ["--to", folder()]);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("order.sqlite is there already")]);
  expect(readdirSync(folder())).toEqual(["order.sqlite"]);
  expect(readFileSync(join(folder(), "order.sqlite"))).toEqual(before);
});

test("a database that is damaged has no backup", async () => {
  await Bun.write(path("order"), "not a database, although it has enough bytes to be one");
  const { exitCode, stderr } = await store.run("backup.ts", ["--to", folder(), "order"]);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("order cannot be copied")]);
  expect(readdirSync(folder())).toEqual([]);
});

test("a restore puts the backup in the place of the database, and keeps the former one with its log", async () => {
  const order = use("order");
  mark(order, "backed up");
  expect((await store.run("backup.ts", ["--to", folder(), "order"])).exitCode).toBe(0);
  mark(order, "later");
  // As after a kill: the log is there.
  const log = readFileSync(`${path("order")}-wal`);
  order.close();
  opened.pop();
  await Bun.write(`${path("order")}-wal`, log);
  const { exitCode, stderr } = await store.run("restore.ts", [
    "order",
    "--from",
    join(folder(), "order.sqlite"),
  ]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(markOf(path("order"))).toEqual(["backed up"]);
  expect(statSync(path("order")).mode & 0o777).toBe(0o600);
  const former = readdirSync(dataDir()).filter((name) => name.startsWith("order.sqlite.before-"));
  expect(former.some((name) => name.endsWith("-wal"))).toBe(true);
  expect(existsSync(`${path("order")}-wal`) && readFileSync(`${path("order")}-wal`).equals(log)).toBe(false);
  expect(readdirSync(dataDir()).some((name) => name.endsWith(".restored"))).toBe(false);
});

test("what cannot be restored is refused, and nothing is changed", async () => {
  await store.run("backup.ts", ["--to", folder()]);
  await Bun.write(join(folder(), "damaged.sqlite"), "not a database, although it has enough bytes to be one");
  mark(use("order"), "in use");
  mark(use("inventory"), "kept");
  opened.pop()?.close();
  const refusals = [
    [["order", "--from", join(folder(), "order.sqlite")], "stop order first"],
    [["inventory", "--from", join(folder(), "order.sqlite")], "is not a database of inventory"],
    [["inventory", "--from", join(folder(), "damaged.sqlite")], "is not a database of inventory"],
    [["inventory", "--from", join(folder(), "missing.sqlite")], "there is no "],
  ] as const;
  for (const [args, reason] of refusals) {
    const { exitCode, stderr } = await store.run("restore.ts", [...args]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(reason)]);
  }
  expect(markOf(path("order"))).toEqual(["in use"]);
  expect(markOf(path("inventory"))).toEqual(["kept"]);
  expect(readdirSync(dataDir()).some((name) => name.includes(".before-"))).toBe(false);
});
