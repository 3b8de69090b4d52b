import type { Database } from "bun:sqlite";
import { quoted } from "./tables.ts";

/*
 * What a trigger did is among the changes, so a follower has none: they wait in a table of their own until it leads, or a
 * migration runs.
 */

/** Takes the triggers out of the schema. */
export function setTriggersAside(sql: Database): void {
  const triggers = sql
    .query<{ name: string; ddl: string }, []>(
      "SELECT name, sql AS ddl FROM sqlite_schema WHERE type = 'trigger'",
    )
    .all();
  if (triggers.length === 0) return;
  sql.run(
    "CREATE TABLE IF NOT EXISTS replication_triggers (name TEXT NOT NULL PRIMARY KEY, ddl TEXT NOT NULL) STRICT",
  );
  for (const { name, ddl } of triggers) {
    sql.run("INSERT INTO replication_triggers VALUES (?, ?)", [name, ddl]);
    sql.run(`DROP TRIGGER ${quoted(name)}`);
  }
}

/** Puts them back. */
export function restoreTriggers(sql: Database): void {
  if (sql.query("SELECT 1 FROM sqlite_schema WHERE name = 'replication_triggers'").get() === null) return;
  const triggers = sql
    .query<{ ddl: string }, []>("SELECT ddl FROM replication_triggers ORDER BY rowid")
    .all();
  for (const { ddl } of triggers) sql.run(ddl);
  sql.run("DELETE FROM replication_triggers");
}
