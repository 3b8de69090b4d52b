import { Database } from "bun:sqlite";
import { mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseInUse, errorText, migrate, openDatabase } from "@distributed-messaging/messaging";
import { kitMigrations } from "@distributed-messaging/messaging/internal";
import { type ServiceName, serviceNames, services } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { CommandFailed, parseOptions, runCommand } from "./command/command.ts";
import { damageOf } from "./start-persistence/damage.ts";

const USAGE = `usage: bun run start-persistence

Creates the missing databases, applies their migrations, as each service does at its start, and checks their
integrity. Each service has one SQLite file in DATA_DIR; there is no database server. The store may be running. The
exit code is 1 if a database is damaged.`;

async function main(args: readonly string[]): Promise<number> {
  parseOptions(args, {});
  const dataDir = resolve(readSettings(process.env).dataDir);
  try {
    mkdirSync(dataDir, { recursive: true });
  } catch (error) {
    throw new CommandFailed(`DATA_DIR: cannot create '${dataDir}': ${errorText(error)}`);
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
  try {
    const database = openDatabase(path, { lockWaitMs: 0 });
    try {
      migrate(database, "messaging", kitMigrations);
      migrate(database, name, service.migrations);
      return damageOf(database.sql);
    } finally {
      database.close();
    }
  } catch (error) {
    // The service runs, so it has brought the schema up to date itself.
    if (error instanceof DatabaseInUse) return damageWhileInUse(path);
    return `cannot be used: ${errorText(error)}`;
  }
}

function damageWhileInUse(path: string): string | undefined {
  const database = new Database(path, { readonly: true });
  try {
    return damageOf(database);
  } catch (error) {
    return `cannot be used: ${errorText(error)}`;
  } finally {
    database.close();
  }
}

/** With its write-ahead log, which has what is not in the database yet. */
function sizeOf(path: string): string {
  const bytes = [path, `${path}-wal`].map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  return `${(bytes.reduce((sum, size) => sum + size) / 1024).toFixed(0)} KiB`;
}

await runCommand("start-persistence", USAGE, main);
