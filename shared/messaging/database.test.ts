import { expect, test } from "bun:test";
import { type Migration, MigrationMismatch, migrate, openDatabase } from "./database.ts";

const first: Migration = { name: "first", sql: "CREATE TABLE a (n INTEGER)" };
const second: Migration = { name: "second", sql: "CREATE TABLE b (n INTEGER)" };

test("missing steps of a schema are applied, each once, and each scope has its own", () => {
  const database = openDatabase(":memory:");
  migrate(database, "one", [first]);
  migrate(database, "one", [first, second]);
  migrate(database, "one", [first, second]);
  migrate(database, "other", [{ name: "first", sql: "CREATE TABLE c (n INTEGER)" }]);
  expect(
    database.sql.query("SELECT scope, step, name FROM migrations ORDER BY scope, step").values(),
  ).toEqual([
    ["one", 1, "first"],
    ["one", 2, "second"],
    ["other", 1, "first"],
  ]);
  database.close();
});

test.each<[string, readonly Migration[], string]>([
  ["differs", [{ ...first, sql: `${first.sql} STRICT` }], '"first", which differs'],
  ["is unknown to an older version", [], "no such step"],
])("a step that was applied and %s is refused, and nothing else is applied", (_what, migrations, text) => {
  const database = openDatabase(":memory:");
  migrate(database, "one", [first]);
  const changed = migrations.length === 0 ? [] : [...migrations, second];
  expect(() => migrate(database, "one", changed)).toThrow(MigrationMismatch);
  expect(() => migrate(database, "one", changed)).toThrow(text);
  expect(database.sql.query("SELECT name FROM sqlite_schema WHERE name = 'b'").get()).toBeNull();
  database.close();
});

test("a step that fails leaves nothing of the steps before it", () => {
  const database = openDatabase(":memory:");
  expect(() => migrate(database, "one", [first, { name: "broken", sql: "CREATE TABLE" }])).toThrow();
  expect(database.sql.query("SELECT * FROM migrations").all()).toEqual([]);
  expect(database.sql.query("SELECT name FROM sqlite_schema WHERE name = 'a'").get()).toBeNull();
  database.close();
});
