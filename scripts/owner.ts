import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  type Claim,
  DatabaseInUse,
  errorText,
  openDatabase,
  silentLogger,
} from "@distributed-messaging/messaging";
import { AGE, CHANGE_LOG } from "@distributed-messaging/messaging/internal";
import { KafkaLogs } from "@distributed-messaging/messaging/kafka";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { CommandFailed, noMore, parseOptions, runCommand, table, UsageError } from "./command/command.ts";
import { ownersOf, UNNAMED } from "./owner/owners.ts";

const USAGE = `usage: bun run owner list
       bun run owner take-over SERVICE

  list        which database is each service's, or each instance's, as the topics of the owners say, and whether that of
              DATA_DIR is it
  take-over   for a database that is lost for good: the next start of SERVICE, which is stopped, takes the service over with
              the database of DATA_DIR. What only the lost one had is lost; what it has handled is handled again where the
              database of DATA_DIR does not know of it. Not as long as the owner runs`;

interface OwnFile {
  readonly file: string;
  readonly epoch: number;
  readonly takesOver: number;
  readonly age: number;
}

const pathOf = (dataDir: string, service: ServiceName) => join(resolve(dataDir), `${service}.sqlite`);

async function list(): Promise<number> {
  const config = loadConfig(Type.Object(commonSettings), process.env, "owner");
  const logs = new KafkaLogs(kafkaSettings("owner", config), silentLogger);
  const rows: string[][] = [];
  try {
    for (const service of serviceNames) {
      const own = existsSync(pathOf(config.DATA_DIR, service)) ? fileOf(config.DATA_DIR, service) : undefined;
      const owners = await ownersOf(logs, service);
      for (const instance of owners.size === 0 ? [UNNAMED] : owners.keys()) {
        const claim = owners.get(instance);
        rows.push([service, instance, ...ownerCells(claim), verdict(claim, own)]);
      }
    }
  } catch (error) {
    throw new CommandFailed(`the broker at ${config.KAFKA_BROKERS.join(", ")}: ${errorText(error)}`);
  } finally {
    await logs.close();
  }
  console.log(
    table(["service", "instance", "epoch", "since", "on", "the owner", "the database of DATA_DIR"], rows),
  );
  return 0;
}

function ownerCells(claim: Claim | undefined): string[] {
  if (claim === undefined) return ["–", "–", "–", "none"];
  if (claim.file === CHANGE_LOG) {
    return [String(claim.epoch), new Date(claim.since).toISOString(), claim.place, "the change log"];
  }
  const state = claim.released ? "has ended" : "runs, or was killed";
  return [String(claim.epoch), new Date(claim.since).toISOString(), claim.place, state];
}

function verdict(claim: Claim | undefined, own: OwnFile | undefined): string {
  if (own === undefined) return "none";
  if (own.takesOver === 1) return "takes over at the next start";
  if (claim === undefined) return "nobody's yet";
  if (claim.file === CHANGE_LOG) return "one of several, which follow a change log";
  if (claim.file !== own.file) return "another one";
  return claim.epoch > own.epoch || claim.age > own.age
    ? "an older copy of the service's"
    : "is the service's";
}

/** @returns undefined for the database of a version without owners */
function fileOf(dataDir: string, service: ServiceName): OwnFile | undefined {
  using database = new Database(pathOf(dataDir, service), { readonly: true });
  const hasTable = database.query("SELECT 1 FROM sqlite_schema WHERE name = 'ownership'").get() !== null;
  if (!hasTable) return undefined;
  using row = database.prepare<OwnFile, []>(
    `SELECT file, epoch, takes_over AS takesOver, (${AGE}) AS age FROM ownership`,
  );
  return row.get() ?? undefined;
}

function takeOver(service: ServiceName): number {
  const { DATA_DIR } = loadConfig(Type.Object(commonSettings), process.env, "owner");
  const path = pathOf(DATA_DIR, service);
  if (!existsSync(path)) {
    throw new CommandFailed(`there is no ${path}: start ${service} once, or restore a backup`);
  }
  if (fileOf(DATA_DIR, service) === undefined) {
    throw new CommandFailed(`${path} was never used by this version: start ${service} once`);
  }
  try {
    const database = openDatabase(path, { lockWaitMs: 0 });
    database.sql.run("UPDATE ownership SET takes_over = 1");
    database.close();
  } catch (error) {
    if (error instanceof DatabaseInUse) throw new CommandFailed(`stop ${service} first: ${errorText(error)}`);
    throw error;
  }
  console.log(`the next start of ${service} takes it over with ${path}, unless its owner runs`);
  return 0;
}

await runCommand("owner", USAGE, async (args) => {
  const { positionals } = parseOptions(args, {}, 2);
  const [command, ...operands] = positionals;
  if (command === "list") {
    noMore(operands, 0);
    return list();
  }
  if (command === undefined) throw new UsageError("expected a command: list or take-over");
  if (command !== "take-over") {
    throw new UsageError(`unknown command ${command}; the commands are list and take-over`);
  }
  const service = serviceNames.find((name) => name === operands[0]);
  if (service === undefined) throw new UsageError(`expected one of ${serviceNames.join(", ")}`);
  return takeOver(service);
});
