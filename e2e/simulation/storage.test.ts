import { expect, test } from "bun:test";
import { openDatabase } from "@distributed-messaging/messaging";
import { Faults } from "./faults.ts";
import { Prng } from "./prng.ts";
import { Crashed, Incarnation } from "./scheduler.ts";
import { connect } from "./storage.ts";

/** A database with one table, and a process that is connected to it. */
function setUp() {
  const disk = openDatabase(":memory:");
  disk.sql.run("CREATE TABLE things (name TEXT)");
  const written: string[] = [];
  const incarnation: Incarnation = new Incarnation("service", () => {
    incarnation.alive = false;
    if (disk.sql.inTransaction) disk.sql.run("ROLLBACK");
  });
  const prng = new Prng("storage");
  const database = connect({
    disk: { database: disk, path: disk.path },
    incarnation,
    prng,
    faults: new Faults(prng, new Set()),
    mutant: {},
    committed: () => {},
    writtenOutside: (sql) => written.push(sql),
  });
  const names = () =>
    disk.sql
      .query<{ name: string }, []>("SELECT name FROM things")
      .all()
      .map(({ name }) => name);
  return { sql: database.sql, incarnation, written, names };
}

test("a process that crashes loses what it had not committed, and can write nothing more", () => {
  const { sql, incarnation, names } = setUp();
  const insert = sql.prepare("INSERT INTO things VALUES (?)");
  sql.run("BEGIN IMMEDIATE");
  insert.run("committed");
  sql.run("COMMIT");
  sql.run("BEGIN IMMEDIATE");
  insert.run("not committed");
  incarnation.crash("in a transaction");
  expect(sql.inTransaction).toBe(false);
  expect(() => insert.run("too late")).toThrow(Crashed);
  expect(() => sql.run("COMMIT")).toThrow(Crashed);
  expect(() => sql.run("BEGIN IMMEDIATE")).toThrow(Crashed);
  expect(names()).toEqual(["committed"]);
});

test("a write outside of a transaction is reported", () => {
  const { sql, written } = setUp();
  sql.prepare("SELECT * FROM things").all();
  expect(written).toEqual([]);
  sql.run("INSERT INTO things VALUES ('outside')");
  expect(written).toEqual(["INSERT INTO things VALUES ('outside')"]);
});
