import type { Database } from "bun:sqlite";
import type { ServiceDatabase } from "../database.ts";
import { UsageError } from "../errors.ts";

/** What a `Replica` makes in each database. */
export const REPLICA_TABLES: readonly string[] = ["replication", "change_log", "replication_triggers"];

/** What each instance has of its own: the others have their own rows. */
const LOCAL_TABLES: ReadonlySet<string> = new Set([...REPLICA_TABLES, "ownership"]);

/** Whether a database is that of an instance of a replicated service: it has followed a change log, or led. */
export function hasChangeLog({ sql }: Pick<ServiceDatabase, "sql">): boolean {
  const table = "SELECT 1 FROM sqlite_schema WHERE name = 'replication'";
  if (sql.query(table).get() === null) return false;
  return sql.query("SELECT 1 FROM replication WHERE epoch > 0").get() !== null;
}

interface Column {
  readonly name: string;
  /** Of a STRICT table that declares another type, no value is one. */
  readonly mayBeBlob: boolean;
}

/** A table of a replicated database. */
export interface ReplicatedTable {
  readonly name: string;
  /** All but generated ones, in the order of the table. */
  readonly columns: readonly Column[];
  /** Those of the primary key. */
  readonly key: readonly Column[];
  /** Whether ids are never used twice (AUTOINCREMENT), which SQLite keeps in a table of its own. */
  readonly countsIds: boolean;
}

/**
 * The tables of a database, but those that each instance has for itself.
 *
 * @throws UsageError when a row of a table could not be told from another one, because it has no primary key or one that
 *   may be NULL, or is virtual
 */
export function replicatedTables(sql: Database): ReplicatedTable[] {
  const tables = sql
    .query<{ name: string; type: string; isStrict: 0 | 1; ddl: string }, []>(
      `SELECT list.name, list.type, list.strict AS isStrict, sqlite_schema.sql AS ddl
       FROM pragma_table_list AS list JOIN sqlite_schema ON sqlite_schema.name = list.name AND sqlite_schema.type = 'table'
       WHERE list.schema = 'main' AND list.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY list.name`,
    )
    .all()
    .filter(({ name }) => !LOCAL_TABLES.has(name));
  return tables.map(({ name, type, isStrict, ddl }) => {
    if (type !== "table") throw new UsageError(`a replicated database has no virtual tables, as ${name}`);
    const columns = sql
      .query<{ name: string; type: string; isRequired: 0 | 1; position: number; hidden: number }, [string]>(
        'SELECT name, type, "notnull" AS isRequired, pk AS position, hidden FROM pragma_table_xinfo(?)',
      )
      .all(name)
      .filter(({ hidden }) => hidden === 0)
      .map((column) => ({
        ...column,
        mayBeBlob: isStrict === 0 || column.type === "BLOB" || column.type === "ANY",
      }));
    const key = columns
      .filter(({ position }) => position > 0)
      .sort((one, other) => one.position - other.position);
    const isRowid = key.length === 1 && key[0]?.type.toUpperCase() === "INTEGER";
    if (key.length === 0 || (!isRowid && key.some(({ isRequired }) => isRequired === 0))) {
      throw new UsageError(`a replicated table needs a primary key that is never NULL: ${name}`);
    }
    return { name, columns, key, countsIds: /\bAUTOINCREMENT\b/i.test(ddl) };
  });
}

/** An identifier in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
