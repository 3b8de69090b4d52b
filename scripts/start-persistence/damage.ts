import type { Database } from "bun:sqlite";

/** What is wrong with a database; undefined when nothing is. */
export function damageOf(database: Database): string | undefined {
  const row = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").get();
  return row?.integrity_check === "ok" ? undefined : `DAMAGED: ${row?.integrity_check}`;
}
