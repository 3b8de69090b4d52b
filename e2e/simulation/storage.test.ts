import { expect, test } from "bun:test";
import { openDatabase } from "@distributed-messaging/messaging";
import { Faults } from "./faults.ts";
import { Crashed, Incarnation } from "./incarnation.ts";
import { Prng } from "./prng.ts";
import { connectStorage } from "./storage.ts";

/** A database with one table, and a life of a process that is connected to it. */
function setUp() {
  const raw = openDatabase(":memory:");
  raw.sql.run("CREATE TABLE things (name TEXT)");
  const written: string[] = [];
  const incarnation: Incarnation = new Incarnation("service", () => {
    incarnation.alive = false;
    if (raw.sql.inTransaction) raw.sql.run("ROLLBACK");
  });
  const prng = new Prng("storage");
  const database = connectStorage({
    raw,
    incarnation,
    prng,
    faults: new Faults(prng, new Set()),
    mutation: {},
    committed: () => {},
    writtenAlone: (sql) => written.push(sql),
  });
  const names = () =>
    raw.sql
      .query<{ name: string }, []>("SELECT name FROM things")
      .all()
      .map(({ name }) => name);
  return { sql: database.sql, incarnation, written, names };
}

test("what a process had not committed when it died is not there; it can write nothing any more", () => {
  const { sql, incarnation, names } = setUp();
  const insert = sql.prepare("INSERT INTO things VALUES (?)");
  sql.run("BEGIN IMMEDIATE");
  insert.run("committed");
  sql.run("COMMIT");
  sql.run("BEGIN IMMEDIATE");
  insert.run("not committed");
  incarnation.crash("in the middle");
  expect(sql.inTransaction).toBe(false);
  expect(() => insert.run("dead")).toThrow(Crashed);
  expect(() => sql.run("COMMIT")).toThrow(Crashed);
  expect(() => sql.run("BEGIN IMMEDIATE")).toThrow(Crashed);
  expect(names()).toEqual(["committed"]);
});

test("a write that no transaction holds together is noticed", () => {
  const { sql, written } = setUp();
  sql.prepare("SELECT * FROM things").all();
  expect(written).toEqual([]);
  sql.run("INSERT INTO things VALUES ('alone')");
  expect(written).toEqual(["INSERT INTO things VALUES ('alone')"]);
});
