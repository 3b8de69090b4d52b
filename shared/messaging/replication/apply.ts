import type { Database, Statement } from "bun:sqlite";
import { valueAt } from "./capture.ts";
import { quoted, type ReplicatedTable, replicatedTables } from "./tables.ts";
import { restoreTriggers, setTriggersAside } from "./triggers.ts";

interface Statements {
  readonly gone: Statement<unknown, [string]>;
  readonly replaced: Statement<unknown, [string]>;
  readonly insert: Statement<unknown, [string]>;
}

/** Brings what another database captured into this one. */
export class Applier {
  readonly #sql: Database;
  readonly #names;
  readonly #sequences;
  readonly #schema;
  #tables: ReadonlyMap<string, Statements> | undefined;

  /** @param sql a connection with `foreign_keys = OFF`: what a foreign key did is among the changes */
  constructor(sql: Database) {
    this.#sql = sql;
    this.#names = sql.prepare<{ name: string }, [string]>("SELECT key AS name FROM json_each(?, '$.tables')");
    this.#schema = sql.prepare<{ statement: string }, [string]>(
      "SELECT value AS statement FROM json_each(?, '$.schema')",
    );
    this.#sequences = sql.prepare<{ name: string; id: number }, [string]>(
      "SELECT key AS name, value AS id FROM json_each(?, '$.sequences')",
    );
  }

  /**
   * Inside a transaction.
   *
   * @param changes as `Capture` returns it
   * @throws SQLiteError when the database is not what the changes were made to
   */
  apply(changes: string): void {
    for (const { statement } of this.#schema.all(changes)) {
      this.#forget();
      restoreTriggers(this.#sql);
      this.#sql.run(statement);
      setTriggersAside(this.#sql);
    }
    const names = this.#names.all(changes);
    if (names.length > 0) this.#tables ??= this.#prepare();
    for (const { name } of names) {
      const statements = this.#tables?.get(name);
      if (statements === undefined) throw new Error(`the database has no table ${name}`);
      statements.gone.run(changes);
      // All rows first, then the new ones: two of them may have exchanged a unique value.
      statements.replaced.run(changes);
      statements.insert.run(changes);
    }
    // From the rows alone it would not be known which ids were used by rows that came and went.
    for (const { name, id } of this.#sequences.all(changes)) {
      this.#sql.run("DELETE FROM sqlite_sequence WHERE name = ?", [name]);
      this.#sql.run("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [name, id]);
    }
  }

  close(): void {
    this.#forget();
    this.#names.finalize();
    this.#schema.finalize();
    this.#sequences.finalize();
  }

  #forget(): void {
    for (const statements of this.#tables?.values() ?? []) {
      for (const statement of Object.values(statements)) statement.finalize();
    }
    this.#tables = undefined;
  }

  #prepare(): ReadonlyMap<string, Statements> {
    return new Map(replicatedTables(this.#sql).map((table) => [table.name, prepare(this.#sql, table)]));
  }
}

function prepare(sql: Database, { name, columns, key }: ReplicatedTable): Statements {
  const table = quoted(name);
  const path = (part: string) => `'$.tables.${quoted(name).replaceAll("'", "''")}.${part}'`;
  const keyColumns = key.map((column) => quoted(column.name)).join();
  const remove = (part: string, positionOf: (index: number) => number) => {
    const values = key.map((column, index) => valueAt(positionOf(index), column)).join();
    return `DELETE FROM main.${table} WHERE (${keyColumns}) IN (SELECT ${values} FROM json_each(?, ${path(part)}))`;
  };
  const inRow = (index: number) => columns.findIndex(({ name: column }) => column === key[index]?.name);
  const values = columns.map((column, index) => valueAt(index, column)).join();
  return {
    gone: sql.prepare(remove("gone", (index) => index)),
    replaced: sql.prepare(remove("rows", inRow)),
    insert: sql.prepare(
      `INSERT INTO main.${table} (${columns.map((column) => quoted(column.name)).join()})
       SELECT ${values} FROM json_each(?, ${path("rows")})`,
    ),
  };
}
