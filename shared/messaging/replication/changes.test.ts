import { Database, type SQLQueryBindings } from "bun:sqlite";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { UsageError } from "../errors.ts";
import { Applier } from "./apply.ts";
import { Capture, everythingIn } from "./capture.ts";
import { restoreTriggers } from "./triggers.ts";

const SCHEMA = `
  CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, value ANY, slot INTEGER UNIQUE) STRICT;
  CREATE TABLE pairs (a TEXT NOT NULL, b ANY NOT NULL, value BLOB, PRIMARY KEY (b, a)) STRICT, WITHOUT ROWID;
  CREATE TABLE loose ("a ""key" VARCHAR NOT NULL PRIMARY KEY, "value" NUMERIC, free, twice AS (free || free));
  CREATE TABLE parents (id INTEGER PRIMARY KEY);
  CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents ON DELETE CASCADE) STRICT;
`;

function open(foreignKeys: "ON" | "OFF"): Database {
  const sql = new Database(":memory:", { strict: true });
  sql.run(`PRAGMA foreign_keys = ${foreignKeys}`);
  sql.run(SCHEMA);
  return sql;
}

/** Every row of every table with the type of every value, and the ids that were used. */
function contentOf(sql: Database): unknown {
  const tables = sql
    .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all();
  return tables.map(({ name }) => {
    const columns = sql.query<{ name: string }, [string]>("SELECT name FROM pragma_table_info(?)").all(name);
    const values = columns.map(
      (column) =>
        `typeof("${column.name.replaceAll('"', '""')}") || ' ' || quote("${column.name.replaceAll('"', '""')}")`,
    );
    return [name, sql.query(`SELECT ${values.join(" || ' ' || ")} AS row FROM "${name}" ORDER BY row`).all()];
  });
}

const value = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.integer({ min: -3, max: 3 }),
  fc.double({ noNaN: true }),
  fc.constantFrom(1.5, Number.POSITIVE_INFINITY, -0),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("", "null", '{"b":"00"}', "a\u0000b", "1", "1.0"),
  fc.uint8Array({ maxLength: 8 }),
);
const id = fc.integer({ min: 1, max: 6 });
const word = fc.constantFrom("a", "b", "c'\"");

const step = fc.oneof(
  fc.record({ sql: fc.constant("INSERT INTO counted (value) VALUES (?)"), values: fc.tuple(value) }),
  fc.record({
    sql: fc.constant("INSERT OR REPLACE INTO counted VALUES (?, ?, ?)"),
    values: fc.tuple(id, value, id),
  }),
  fc.record({
    sql: fc.constant("UPDATE OR IGNORE counted SET id = ? WHERE id = ?"),
    values: fc.tuple(id, id),
  }),
  fc.record({
    sql: fc.constant("UPDATE OR REPLACE counted SET slot = ? WHERE id = ?"),
    values: fc.tuple(id, id),
  }),
  fc.record({
    sql: fc.constant("UPDATE OR FAIL counted SET value = ? WHERE id > ?"),
    values: fc.tuple(value, id),
  }),
  fc.record({ sql: fc.constant("DELETE FROM counted WHERE id = ?"), values: fc.tuple(id) }),
  fc.record({ sql: fc.constant("DELETE FROM counted"), values: fc.constant([]) }),
  fc.record({
    sql: fc.constant("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)"),
    values: fc.tuple(
      word,
      value.filter((other) => other !== null),
      fc.uint8Array({ maxLength: 8 }),
    ),
  }),
  fc.record({ sql: fc.constant("DELETE FROM pairs WHERE a = ?"), values: fc.tuple(word) }),
  fc.record({
    sql: fc.constant(
      'INSERT INTO loose VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded."value", free = excluded.free',
    ),
    values: fc.tuple(word, value, value),
  }),
  fc.record({ sql: fc.constant("INSERT OR IGNORE INTO parents VALUES (?)"), values: fc.tuple(id) }),
  fc.record({
    sql: fc.constant("INSERT OR REPLACE INTO children SELECT ?, id FROM parents WHERE id = ?"),
    values: fc.tuple(id, id),
  }),
  fc.record({ sql: fc.constant("DELETE FROM parents WHERE id = ?"), values: fc.tuple(id) }),
);

test("a copy that applies what transactions changed is the same database, in every type", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ steps: fc.array(fc.record({ step, isUndone: fc.boolean() }), { maxLength: 12 }) }),
        { maxLength: 8 },
      ),
      (transactions) => {
        using source = open("ON");
        using copy = open("OFF");
        const capture = new Capture(source);
        capture.install();
        const applier = new Applier(copy);
        for (const { steps } of transactions) {
          source.run("BEGIN");
          for (const {
            step: { sql, values },
            isUndone,
          } of steps) {
            source.run("SAVEPOINT step");
            try {
              source.prepare(sql).run(...(values as readonly SQLQueryBindings[]));
            } catch {
              // A constraint.
              source.run("ROLLBACK TO step");
            }
            if (isUndone) source.run("ROLLBACK TO step");
            source.run("RELEASE step");
          }
          const changes = capture.take();
          source.run("COMMIT");
          if (changes !== undefined) copy.transaction(() => applier.apply(changes))();
          expect(contentOf(copy)).toEqual(contentOf(source));
        }
        applier.close();
        capture.remove();
      },
    ),
    { numRuns: 300 },
  );
});

test("nothing is captured where nothing was written, or all was undone", () => {
  using sql = open("ON");
  const capture = new Capture(sql);
  capture.install();
  expect(capture.take()).toBeUndefined();
  sql.run("BEGIN");
  sql.run("INSERT INTO parents VALUES (1)");
  sql.run("ROLLBACK");
  expect(capture.take()).toBeUndefined();
  sql.run("INSERT INTO parents VALUES (1)");
  expect(capture.take()).toBe('{"tables":{"parents":{"gone":[],"rows":[[1]]}},"sequences":{}}');
  expect(capture.take()).toBeUndefined();
});

test("what is written after a change of the schema that was not announced is refused", () => {
  using sql = open("ON");
  const capture = new Capture(sql);
  capture.install();
  sql.run("CREATE TABLE late (id INTEGER PRIMARY KEY)");
  sql.run("INSERT INTO late VALUES (1)");
  expect(() => capture.take()).toThrow(
    new UsageError("the schema of a replicated database is changed by migrate only"),
  );
});

test("a copy gets the schema with the changes", () => {
  using copy = new Database(":memory:", { strict: true });
  const applier = new Applier(copy);
  const changes = (...schema: string[]) => JSON.stringify({ schema, tables: {} });
  applier.apply(changes("CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1)"));
  applier.apply('{"tables":{"a":{"gone":[],"rows":[[2]]}},"sequences":{}}');
  applier.apply(changes("ALTER TABLE a ADD COLUMN b TEXT"));
  applier.apply('{"tables":{"a":{"gone":[[2]],"rows":[[1,"x"]]}},"sequences":{}}');
  expect(copy.query("SELECT * FROM a").all()).toEqual([{ id: 1, b: "x" }]);
});

test("what triggers did is among the changes; a copy has none until it leads, and runs migrations with them", () => {
  const trigger = 'CREATE TRIGGER "count ""them" AFTER INSERT ON a BEGIN UPDATE counts SET n = n + 1; END';
  const schema = [
    "CREATE TABLE a (id INTEGER PRIMARY KEY)",
    "CREATE TABLE counts (id INTEGER PRIMARY KEY, n INTEGER)",
    trigger,
  ];
  using source = new Database(":memory:", { strict: true });
  for (const ddl of schema) source.run(ddl);
  source.run("INSERT INTO counts VALUES (1, 0)");
  source.run("INSERT INTO a VALUES (1)");
  using copy = new Database(":memory:", { strict: true });
  const applier = new Applier(copy);
  applier.apply(everythingIn(source));
  const capture = new Capture(source);
  capture.install();
  source.run("INSERT INTO a VALUES (2), (3)");
  applier.apply(capture.take() ?? "");
  const counts = () => copy.query("SELECT n FROM counts").get();
  expect(counts()).toEqual({ n: 3 });
  // As the leader ran it: a migration whose rows fire a trigger.
  applier.apply(JSON.stringify({ schema: ["INSERT INTO a VALUES (4)"], tables: {} }));
  expect(counts()).toEqual({ n: 4 });
  expect(copy.query("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()).toEqual([]);
  restoreTriggers(copy);
  copy.run("INSERT INTO a VALUES (5)");
  expect(counts()).toEqual({ n: 5 });
  expect(copy.query("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").all()).toEqual([
    { sql: trigger },
  ]);
});

test.each([
  ["CREATE TABLE t (a)", "a replicated table needs a primary key that is never NULL: t"],
  ["CREATE TABLE t (a TEXT PRIMARY KEY)", "a replicated table needs a primary key that is never NULL: t"],
  ["CREATE VIRTUAL TABLE t USING fts5 (a)", "a replicated database has no virtual tables, as t"],
])("%s cannot be replicated", (ddl, text) => {
  using sql = new Database(":memory:");
  sql.run(ddl);
  expect(() => new Capture(sql).install()).toThrow(new UsageError(text));
});
