import { Database } from "bun:sqlite";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Instance } from "@distributed-messaging/supervisor/store";

/** What each instance has of its own. */
const OWN = ["replication", "change_log", "replication_triggers", "ownership"];
const LIMIT_MS = 60_000;

/** Waits until all instances of a service have the same rows in every table, as they have once nothing happens. */
export async function untilEqual(instances: readonly Instance[]): Promise<void> {
  await eventually(
    () => {
      const [first = {}, ...others] = instances.map(({ file }) => contentOf(file));
      for (const other of others) {
        const names = new Set([...Object.keys(first), ...Object.keys(other)]);
        const different = [...names].filter((name) => !Bun.deepEquals(first[name], other[name]));
        if (different.length > 0) throw new Error(`they differ in ${different.join(", ")}`);
      }
      return true;
    },
    `all copies of ${instances[0]?.service} to be the same`,
    LIMIT_MS,
  );
}

/** The rows of every table, sorted. */
function contentOf(file: string): Record<string, readonly string[]> {
  using database = new Database(file, { readonly: true });
  const tables = database
    .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .filter(({ name }) => !OWN.includes(name));
  return Object.fromEntries(
    tables.map(({ name }) => {
      const rows = database.query<Record<string, unknown>, []>(`SELECT * FROM "${name}"`).all();
      const isIdle = (row: Record<string, unknown>) => name === "sqlite_sequence" && row.seq === 0;
      return [
        name,
        rows
          .filter((row) => !isIdle(row))
          .map((row) => JSON.stringify(row))
          .toSorted(),
      ];
    }),
  );
}
