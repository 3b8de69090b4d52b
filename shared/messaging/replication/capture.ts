import type { Database, Statement } from "bun:sqlite";
import { UsageError } from "../errors.ts";
import { quoted, REPLICA_TABLES, type ReplicatedTable, replicatedTables } from "./tables.ts";

/*
 * What a transaction changed, as JSON: for each table the keys of the rows that are gone and the rows that are there, as
 * they are at its end. The type of each value stays what it was: SQLite writes and reads the JSON, so 64-bit integers and
 * reals are exact; a blob is `{"b": "<hex>"}`.
 *
 *   { "schema": ["CREATE …"],
 *     "tables": { "<name>": { "gone": [[<key>…]…], "rows": [[<column>…]…] } },
 *     "sequences": { "<name>": <the highest id that was ever used> } }
 */

/** The SQL of a value in that JSON. */
function jsonOf(alias: string, { name, mayBeBlob }: ReplicatedTable["columns"][number]): string {
  const column = `${alias}.${quoted(name)}`;
  return mayBeBlob
    ? `CASE typeof(${column}) WHEN 'blob' THEN json_object('b', hex(${column})) ELSE ${column} END`
    : column;
}

/** The SQL that reads a value from an array of that JSON. */
export function valueAt(position: number, { mayBeBlob }: ReplicatedTable["columns"][number]): string {
  const path = `'$[${position}]'`;
  return mayBeBlob
    ? `CASE json_type(value, ${path}) WHEN 'object' THEN unhex(value ->> '$[${position}].b') ELSE value ->> ${path} END`
    : `value ->> ${path}`;
}

/** The whole content of a database, with its schema, in the same form. */
export function everythingIn(sql: Database): string {
  const ddl = sql
    .query<{ ddl: string }, []>(
      `SELECT sql AS ddl FROM sqlite_schema
       WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name NOT IN (${REPLICA_TABLES.map((name) => `'${name}'`).join()})
       ORDER BY type = 'index', rowid`,
    )
    .all()
    .map((row) => row.ddl);
  return changesOf(
    ddl,
    replicatedTables(sql).map((table) => contentOf(sql, table)),
  );
}

/** A change of the schema, made by statements that give the same result everywhere, in the same form. */
export function schemaChanges(sql: Database, statements: readonly string[]): string {
  const steps = replicatedTables(sql).filter(({ name }) => name === "migrations");
  return changesOf(
    statements,
    steps.map((table) => contentOf(sql, table)),
  );
}

function contentOf(sql: Database, table: ReplicatedTable): TableChanges {
  const values = table.columns.map((column) => jsonOf("t", column)).join();
  using read = sql.prepare<Part, []>(
    `SELECT '[]' AS gone, json_group_array(json_array(${values})) AS rows, ${lastIdOf(table)} AS id
     FROM ${quoted(table.name)} AS t`,
  );
  return { table, gone: "[]", rows: "[]", id: null, ...read.get() };
}

/** The SQL of the highest id that a table has ever used, or NULL. */
function lastIdOf({ name, countsIds }: ReplicatedTable): string {
  return countsIds
    ? `(SELECT seq FROM sqlite_sequence WHERE name = '${name.replaceAll("'", "''")}')`
    : "NULL";
}

function changesOf(schema: readonly string[], parts: readonly TableChanges[]): string {
  const tables = parts.map(
    ({ table, gone, rows }) => `${JSON.stringify(table.name)}:{"gone":${gone},"rows":${rows}}`,
  );
  const sequences = parts.flatMap(({ table, id }) =>
    id === null ? [] : [`${JSON.stringify(table.name)}:${id}`],
  );
  const statements = schema.length === 0 ? "" : `"schema":${JSON.stringify(schema)},`;
  return `{${statements}"tables":{${tables.join()}},"sequences":{${sequences.join()}}}`;
}

interface Part {
  readonly gone: string;
  readonly rows: string;
  readonly id: number | null;
}

interface TableChanges extends Part {
  readonly table: ReplicatedTable;
}

interface Watched {
  readonly table: ReplicatedTable;
  readonly read: Statement<Part, []>;
  readonly forget: Statement;
}

/**
 * Notes which rows are written, by temporary triggers on every table, and reads them once, at the end of the
 * transaction. A row that is written a hundred times is read once; what a rollback to a savepoint undoes is not noted.
 */
export class Capture {
  readonly #sql: Database;
  #watched: readonly Watched[] = [];
  #touched: Statement<{ index: number }, []> | undefined;
  readonly #schemaVersion;
  /** Of the schema whose tables are watched. */
  #version: number | undefined;

  constructor(sql: Database) {
    this.#sql = sql;
    this.#schemaVersion = sql.prepare<{ schema_version: number }, []>("PRAGMA main.schema_version");
  }

  /** Notes what is written from now on. @throws UsageError as `replicatedTables` does */
  install(): void {
    const sql = this.#sql;
    // Otherwise the rows that INSERT OR REPLACE deletes would not be noted. Triggers of the database see them, too.
    sql.run("PRAGMA recursive_triggers = ON");
    this.#watched = replicatedTables(sql).map((table, index) => watch(sql, table, index));
    const any = this.#watched.map(
      (_, index) => `SELECT ${index} AS "index" WHERE EXISTS (SELECT 1 FROM touched_${index})`,
    );
    this.#touched = any.length === 0 ? undefined : sql.prepare(any.join(" UNION ALL "));
    this.#version = this.#schemaVersion.get()?.schema_version;
  }

  /** Notes nothing any more: the schema is about to change. */
  remove(): void {
    for (const [index, { read, forget }] of this.#watched.entries()) {
      read.finalize();
      forget.finalize();
      for (const event of ["insert", "update", "delete"])
        this.#sql.run(`DROP TRIGGER temp.note_${event}_${index}`);
      this.#sql.run(`DROP TABLE temp.touched_${index}`);
    }
    this.#watched = [];
    this.#touched?.finalize();
    this.#touched = undefined;
  }

  /**
   * What was written since the last call.
   *
   * @returns undefined when that is nothing
   * @throws UsageError when the schema has changed since `install`: what was written to a new table was not noted
   */
  take(): string | undefined {
    if (this.#touched === undefined) return undefined;
    if (this.#schemaVersion.get()?.schema_version !== this.#version) {
      throw new UsageError("the schema of a replicated database is changed by migrate only");
    }
    const touched = this.#touched.all();
    if (touched.length === 0) return undefined;
    return changesOf(
      [],
      touched.flatMap(({ index }) => {
        const watched = this.#watched[index];
        const part = watched?.read.get();
        if (watched === undefined || part === undefined || part === null) return [];
        watched.forget.run();
        return [{ ...part, table: watched.table }];
      }),
    );
  }
}

function watch(sql: Database, table: ReplicatedTable, index: number): Watched {
  const { key, columns } = table;
  const name = quoted(table.name);
  const positions = key.map((_, position) => `k${position}`);
  sql.run(
    `CREATE TEMP TABLE touched_${index} (${positions.join()}, PRIMARY KEY (${positions.join()})) WITHOUT ROWID`,
  );
  // Not OR IGNORE: the conflict clause of the statement that fires the trigger would replace it.
  const note = (row: "OLD" | "NEW") => {
    const values = key.map((column) => `${row}.${quoted(column.name)}`);
    const same = values.map((value, position) => `k${position} = ${value}`).join(" AND ");
    return `INSERT INTO touched_${index} SELECT ${values.join()} WHERE NOT EXISTS (SELECT 1 FROM touched_${index} WHERE ${same});`;
  };
  const on = (event: string, ...rows: readonly ("OLD" | "NEW")[]) =>
    sql.run(
      `CREATE TEMP TRIGGER note_${event}_${index} AFTER ${event} ON main.${name} BEGIN ${rows.map(note).join(" ")} END`,
    );
  on("insert", "NEW");
  on("update", "OLD", "NEW");
  on("delete", "OLD");
  const joined = key
    .map(({ name: column }, position) => `t.${quoted(column)} = touched.k${position}`)
    .join(" AND ");
  const isThere = `t.${quoted(key[0]?.name ?? "")} IS NOT NULL`;
  const keys = key.map((column, position) => jsonOf("touched", { ...column, name: `k${position}` }));
  const values = columns.map((column) => jsonOf("t", column));
  return {
    table,
    read: sql.prepare<Part, []>(
      `SELECT json_group_array(json_array(${keys.join()})) FILTER (WHERE NOT ${isThere}) AS gone,
         json_group_array(json_array(${values.join()})) FILTER (WHERE ${isThere}) AS rows, ${lastIdOf(table)} AS id
       FROM touched_${index} AS touched LEFT JOIN main.${name} AS t ON ${joined}`,
    ),
    forget: sql.prepare(`DELETE FROM temp.touched_${index}`),
  };
}
