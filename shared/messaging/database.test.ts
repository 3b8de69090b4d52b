import { expect, test } from "bun:test";
import {
  type Migration,
  MigrationMismatch,
  migrate,
  openDatabase,
  type ServiceDatabase,
} from "./database.ts";
import { type Logger, silentLogger } from "./runtime.ts";

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
  expect(database.sql.query("SELECT name FROM sqlite_schema").all()).toEqual([]);
  database.close();
});

const additive: Migration = {
  name: "more of a",
  additive: true,
  sql: `
    -- Nobody has to write it; a comment may say DROP.
    ALTER TABLE a ADD COLUMN m INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX a_by_m ON a (m);
    CREATE TABLE more (n INTEGER) STRICT;
  `,
};

const contentOf = (database: ServiceDatabase) => [
  database.sql.query("SELECT type, name, sql FROM sqlite_schema ORDER BY name").all(),
  database.sql.query("SELECT * FROM migrations ORDER BY scope, step").all(),
];

test("an older version works on what a newer one has added, and says so; the newer one applies nothing twice", () => {
  const database = openDatabase(":memory:");
  migrate(database, "one", [first, additive]);
  const before = contentOf(database);
  const warnings: unknown[] = [];
  const log: Logger = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
  migrate(database, "one", [first], log);
  database.sql.run("INSERT INTO a (n) VALUES (1)");
  expect(warnings).toEqual([{ scope: "one", steps: ["more of a"] }]);
  migrate(database, "one", [first, additive, second]);
  migrate(database, "one", [first, additive, second]);
  expect(contentOf(database)).not.toEqual(before);
  expect(database.sql.query("SELECT n, m FROM a").values()).toEqual([[1, 0]]);
  database.close();
});

test("an older version refuses a database that a newer one has changed, with or without additions, and changes nothing", () => {
  for (const newer of [[second], [additive, second], [second, additive]]) {
    const database = openDatabase(":memory:");
    migrate(database, "one", [first, ...newer]);
    const before = contentOf(database);
    expect(() => migrate(database, "one", [first])).toThrow(
      /"second", this version has no such step.* start the version that applied it, or a later one$/,
    );
    expect(contentOf(database)).toEqual(before);
    database.close();
  }
});

test("of a database from before additions were recorded, no step is one", () => {
  const database = openDatabase(":memory:");
  migrate(database, "one", [first, additive]);
  database.sql.run("ALTER TABLE migrations DROP COLUMN additive");
  expect(() => migrate(database, "one", [first])).toThrow(MigrationMismatch);
  migrate(database, "one", [first, additive, second]);
  database.close();
});

test.each([
  "DROP TABLE a",
  "UPDATE a SET n = 1",
  "ALTER TABLE a RENAME TO b",
  "ALTER TABLE a DROP COLUMN n",
  "CREATE UNIQUE INDEX one_n ON a (n)",
  "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
])("%p is not additive", (sql) => {
  const database = openDatabase(":memory:");
  const step = { name: "wrong", additive: true, sql: `CREATE TABLE more (n INTEGER); ${sql}` };
  expect(() => migrate(database, "one", [first, step])).toThrow('the step "wrong" is not additive: ');
  expect(database.sql.query("SELECT name FROM sqlite_schema").all()).toEqual([]);
  database.close();
});
