import { getTableColumns, type SQL, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";

/**
 * For `onConflictDoUpdate`: sets the named columns to the values that were to be inserted, which SQLite calls
 * `excluded` (https://sqlite.org/lang_upsert.html).
 */
export function excluded<Table extends SQLiteTable, Name extends keyof Table["_"]["columns"] & string>(
  table: Table,
  ...names: readonly Name[]
): Record<Name, SQL> {
  const columns = getTableColumns(table);
  const pairs = names.map((name) => [name, sql`excluded.${sql.identifier(columns[name]?.name ?? name)}`]);
  return Object.fromEntries(pairs) as Record<Name, SQL>;
}
