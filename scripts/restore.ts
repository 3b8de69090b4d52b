import { Database } from "bun:sqlite";
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { acquireLock, errorText } from "@distributed-messaging/messaging";
import { type ServiceName, serviceNames, services } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { replaceDatabase } from "./backup/replace.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { damageOf } from "./start-persistence/damage.ts";

const USAGE = `usage: bun run restore SERVICE --from FILE

Puts a backup in the place of the database of a service that is stopped. The former database is kept beside it, under another
name. A backup that is damaged, or of another service, is refused, and nothing is changed.

A service that has handled or sent messages since the backup does not go on with it by itself: bun run recover brings it to what
it has published since.`;

await runCommand("restore", USAGE, async (args) => {
  const { values, positionals } = parseOptions(args, { from: { type: "string" } }, 1);
  const service = serviceNames.find((name) => name === positionals[0]);
  if (service === undefined) throw new UsageError(`expected one of ${serviceNames.join(", ")}`);
  if (values.from === undefined) throw new UsageError("--from: expected a file");
  const from = resolve(values.from);
  if (!existsSync(from)) throw new CommandFailed(`there is no ${from}`);
  await check(from, service);
  const folder = resolve(readSettings(process.env).dataDir);
  // What is created is its owner's only.
  process.umask(0o077);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${service}.sqlite`);
  const lock = acquireLock(join(folder, `${service}.lock`));
  if (lock === undefined) throw new CommandFailed(`stop ${service} first: it uses ${path}`);
  try {
    const copy = `${path}.restored`;
    cpSync(from, copy);
    chmodSync(copy, 0o600);
    const former = replaceDatabase(path, copy);
    console.log(`${service} has the database of ${from}; the former one is ${former}`);
    return 0;
  } finally {
    rmSync(`${path}.restored`, { force: true });
    lock.release();
  }
});

/** @throws CommandFailed when it is damaged, or not a database of the service */
async function check(path: string, service: ServiceName): Promise<void> {
  let scopes: unknown[];
  try {
    using database = new Database(path, { readonly: true });
    const damage = damageOf(database);
    if (damage !== undefined) throw new CommandFailed(`${path}: ${damage}`);
    scopes = database.query("SELECT DISTINCT scope FROM migrations").values().flat();
  } catch (error) {
    if (error instanceof CommandFailed) throw error;
    throw new CommandFailed(`${path} is not a database of ${service}: ${errorText(error)}`);
  }
  const { name } = (await services[service].load()).service;
  if (!scopes.includes(name)) throw new CommandFailed(`${path} is not a database of ${service}`);
}
