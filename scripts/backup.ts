import { Database } from "bun:sqlite";
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { errorText } from "@distributed-messaging/messaging";
import { serviceNames } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { damageOf } from "./start-persistence/damage.ts";

const USAGE = `usage: bun run backup --to FOLDER [SERVICE…]

Copies the databases of DATA_DIR, or of some services, into a folder, while the services run or not: each copy is of one
moment, complete, checked, and readable by its owner only. A file that is there already is not replaced.

The operators' key and the settings are not among them.`;

await runCommand("backup", USAGE, async (args) => {
  const { values, positionals } = parseOptions(args, { to: { type: "string" } }, serviceNames.length);
  const unknown = positionals.find((name) => !serviceNames.some((service) => service === name));
  if (unknown !== undefined) throw new UsageError(`${unknown}: expected ${serviceNames.join(", ")}`);
  if (values.to === undefined) throw new UsageError("--to: expected a folder");
  const folder = resolve(values.to);
  const names = serviceNames.filter((name) => positionals.length === 0 || positionals.includes(name));
  const { dataDir } = readSettings(process.env);
  const copies = names.map((name) => ({
    name,
    from: join(resolve(dataDir), `${name}.sqlite`),
    to: join(folder, `${name}.sqlite`),
  }));
  for (const { name, from, to } of copies) {
    if (!existsSync(from)) throw new CommandFailed(`${name} has no database in DATA_DIR`);
    if (existsSync(to)) throw new CommandFailed(`${to} is there already`);
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const { name, from, to } of copies) {
    // What is not complete has another name.
    const partial = `${to}.partial`;
    rmSync(partial, { force: true });
    try {
      {
        using database = new Database(from, { readonly: true });
        database.run("VACUUM INTO ?", [partial]);
      }
      chmodSync(partial, 0o600);
      using copy = new Database(partial, { readonly: true });
      const damage = damageOf(copy);
      if (damage !== undefined) throw new CommandFailed(`${name}: ${damage}`);
    } catch (error) {
      rmSync(partial, { force: true });
      if (error instanceof CommandFailed) throw error;
      throw new CommandFailed(`${name} cannot be copied: ${errorText(error)}`);
    }
    renameSync(partial, to);
    console.log(`${name.padEnd(13)} ${(statSync(to).size / 1024).toFixed(0)} KiB  ${to}`);
  }
  return 0;
});
