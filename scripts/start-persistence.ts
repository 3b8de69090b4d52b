import { mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { errorText, migrate, openDatabase, type ServiceDatabase } from "@distributed-messaging/messaging";
import { kitMigrations } from "@distributed-messaging/messaging/internal";
import { type ServiceName, serviceNames, services } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { runCommand, UsageError } from "./command/command.ts";

const USAGE = `usage: bun run start-persistence

Creates the missing databases, applies their migrations, as each service does at its start, and checks their
integrity. Each service has one SQLite file in DATA_DIR; there is no database server. The store may be running. The
exit code is 1 if a database is damaged.`;

async function main(): Promise<number> {
  const dataDir = resolve(readSettings(process.env).dataDir);
  try {
    mkdirSync(dataDir, { recursive: true });
  } catch (error) {
    throw new UsageError(`DATA_DIR: cannot create '${dataDir}': ${errorText(error)}`);
  }
  let sound = true;
  for (const name of serviceNames) {
    const path = join(dataDir, `${name}.sqlite`);
    const problem = await prepare(name, path);
    sound &&= problem === undefined;
    console.log(`${name.padEnd(13)} ${problem ?? `ok, ${sizeOf(path)}`}  ${path}`);
  }
  return sound ? 0 : 1;
}

/** @returns what is wrong with the database; `undefined` when nothing is */
async function prepare(name: ServiceName, path: string): Promise<string | undefined> {
  const { service } = await services[name].load();
  let database: ServiceDatabase | undefined;
  try {
    database = openDatabase(path);
    migrate(database, "messaging", kitMigrations);
    migrate(database, name, service.migrations);
    const row = database.sql.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").get();
    return row?.integrity_check === "ok" ? undefined : `DAMAGED: ${row?.integrity_check}`;
  } catch (error) {
    return `cannot be used: ${errorText(error)}`;
  } finally {
    database?.close();
  }
}

function sizeOf(path: string): string {
  return `${(statSync(path).size / 1024).toFixed(0)} KiB`;
}

await runCommand("start-persistence", USAGE, main);
