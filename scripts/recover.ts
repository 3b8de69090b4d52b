import { Database } from "bun:sqlite";
import { chmodSync, existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  acquireLock,
  type Claim,
  continueAs,
  errorText,
  isFileOf,
  migrate,
  openDatabase,
  Recovery,
  RecoveryRefusal,
  type RecoveryReport,
  silentLogger,
} from "@distributed-messaging/messaging";
import { CHANGE_LOG } from "@distributed-messaging/messaging/internal";
import { KafkaLogs } from "@distributed-messaging/messaging/kafka";
import { assemble, type Composition } from "@distributed-messaging/service/composition";
import {
  type CommonConfig,
  instanceOf,
  isReplicated,
  kafkaSettings,
  loadConfig,
} from "@distributed-messaging/service/config";
import { type ServiceName, serviceNames, services } from "@distributed-messaging/services/registry";
import { replaceDatabase } from "./backup/replace.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { ownersOf, UNNAMED } from "./owner/owners.ts";
import { damageOf } from "./start-persistence/damage.ts";

const USAGE = `usage: bun run recover SERVICE [--apply] [--despite-differences]

For a service that is stopped and whose newest database is lost: brings the older one of DATA_DIR, a backup, to the best state
that can be reached. What the service had read since the backup is handled again, in the order of what it published, and what
comes of it is compared with that. Nothing is sent, and no effect is performed. Without --apply, it says only what would be.

  --apply                 puts the recovered database in the place of the older one, which is kept under another name
  --despite-differences   goes on where the topics lack something, and where what comes of it contradicts what was published

It needs the settings of the service, and reads the topics that the service reads and writes.`;

await runCommand("recover", USAGE, async (args) => {
  const flag = { type: "boolean", default: false } as const;
  const { values, positionals } = parseOptions(args, { apply: flag, "despite-differences": flag }, 1);
  const service = serviceNames.find((name) => name === positionals[0]);
  if (service === undefined) throw new UsageError(`expected one of ${serviceNames.join(", ")}`);
  const { service: composition } = await services[service].load();
  const config = loadConfig(composition.config, process.env, service);
  if (isReplicated(config) || instanceOf(config) !== undefined) {
    throw new CommandFailed(
      `${service} runs as several instances: start it on an empty DATA_DIR, and it is made complete`,
    );
  }
  const folder = resolve(config.DATA_DIR);
  const path = join(folder, `${service}.sqlite`);
  if (!existsSync(path)) throw new CommandFailed(`there is no ${path}: restore a backup`);
  // What is created is its owner's only.
  process.umask(0o077);
  const lock = acquireLock(join(folder, `${service}.lock`));
  if (lock === undefined) throw new CommandFailed(`stop ${service} first: it uses ${path}`);
  const copy = join(folder, `${service}.recovered.sqlite`);
  const logs = new KafkaLogs(kafkaSettings("recover", config), silentLogger);
  try {
    const owner = await ownerOf(logs, service, config);
    if (!isOlder(path, service, owner)) {
      console.log(`the database of ${service} is the one that it used last: there is nothing to recover`);
      return 0;
    }
    remove(copy);
    copyDatabase(path, copy);
    const despite = values["despite-differences"];
    const { report, hasProjections } = await recover(composition, config, { copy, logs, owner, despite });
    print(service, report, hasProjections);
    if (report.differences.length > 0 && !despite) {
      throw new CommandFailed("nothing was changed: --despite-differences accepts the differences");
    }
    if (!values.apply) {
      console.log("nothing was changed: --apply does it");
      return 0;
    }
    const former = replaceDatabase(path, copy);
    console.log(
      `${service} goes on with the recovered database at its next start; the former one is ${former}`,
    );
    if (hasProjections) console.log(`then: bun run rebuild --service ${service}`);
    return 0;
  } catch (error) {
    if (error instanceof RecoveryRefusal) throw new CommandFailed(error.message);
    throw error;
  } finally {
    await logs.close();
    remove(copy);
    lock.release();
  }
});

async function ownerOf(logs: KafkaLogs, service: ServiceName, config: CommonConfig): Promise<Claim> {
  try {
    const owner = (await ownersOf(logs, service)).get(UNNAMED);
    if (owner === undefined) throw new CommandFailed(`nobody has used ${service} yet: start it`);
    return owner;
  } catch (error) {
    if (error instanceof CommandFailed) throw error;
    throw new CommandFailed(`the broker at ${config.KAFKA_BROKERS.join(", ")}: ${errorText(error)}`);
  }
}

/** @throws CommandFailed when it is not a copy of the database that the service used last */
function isOlder(path: string, service: ServiceName, owner: Claim): boolean {
  if (owner.file === CHANGE_LOG) {
    throw new CommandFailed(`${service} has a change log: start it on an empty DATA_DIR with REPLICATION=on`);
  }
  using database = new Database(path, { readonly: true });
  const damage = damageOf(database);
  if (damage !== undefined) throw new CommandFailed(`${path}: ${damage}`);
  const hasTable = database.query("SELECT 1 FROM sqlite_schema WHERE name = 'ownership'").get() !== null;
  const row = hasTable
    ? database
        .query<{ file: string; takesOver: number }, []>("SELECT file, takes_over AS takesOver FROM ownership")
        .get()
    : null;
  if (row?.file !== owner.file) {
    throw new CommandFailed(
      `${path} is not a copy of the database that ${service} used last. If there is no such copy: bun run owner take-over ${service}`,
    );
  }
  return row.takesOver === 1 || !isFileOf(owner, database);
}

function copyDatabase(path: string, to: string): void {
  using database = new Database(path, { readonly: true });
  database.run("VACUUM INTO ?", [to]);
  chmodSync(to, 0o600);
}

function remove(path: string): void {
  for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
  rmSync(path.replace(/\.sqlite$/, ".lock"), { force: true });
}

async function recover(
  composition: Composition,
  config: CommonConfig,
  {
    copy,
    logs,
    owner,
    despite,
  }: { readonly copy: string; readonly logs: KafkaLogs; readonly owner: Claim; readonly despite: boolean },
): Promise<{ readonly report: RecoveryReport; readonly hasProjections: boolean }> {
  const { name, migrations, messages } = composition;
  // It is thrown away if the power fails.
  const database = openDatabase(copy, { synchronous: "OFF" });
  try {
    const hasProjections = services[name as ServiceName].activeActive === true;
    const recovery = new Recovery({
      ...{ service: name, database, logs, hasProjections, definitions: messages, despiteGaps: despite },
    });
    const { transport, runtime } = recovery;
    migrate(recovery.database, name, migrations);
    const { messaging, recovered } = assemble(
      composition,
      despite ? { ...config, GAPS: "continue" } : config,
      {
        ...{ database: recovery.database, connect: () => transport, runtime, log: silentLogger },
      },
    );
    const report = await recovery.run(messaging);
    await messaging.stop();
    database.sql.transaction(() => {
      recovered?.();
      continueAs(owner, database.sql);
    })();
    database.sql.run("PRAGMA wal_checkpoint(TRUNCATE)");
    return { report, hasProjections };
  } finally {
    database.close();
  }
}

function print(service: ServiceName, report: RecoveryReport, hasProjections: boolean): void {
  const { read, timersFired, confirmed, unsent, heldEffects, requests, differences, furtherDifferences } =
    report;
  const lines = [
    `${service} has read ${read} messages since the backup, and fired ${timersFired} timers: they are handled again`,
    `${confirmed} messages that it published come of that again, with the same ids and the same content: they are not sent again`,
    `${unsent} messages that it had not published are to be sent`,
    `${heldEffects} effects may have been performed since: they wait for bun run effects`,
    ...(requests === 0
      ? []
      : [`${requests} requests since the backup are known by what was published because of them only`]),
    `${differences.length + furtherDifferences} differences from what was published`,
    ...differences.map((difference) => `  ${difference}`),
    ...(furtherDifferences === 0 ? [] : [`  and ${furtherDifferences} more`]),
    "not known, and lost: what it accepted by HTTP since the backup and had not published, and what operators did with dead letters",
    ...(hasProjections ? ["its projections are made complete by a rebuild"] : []),
  ];
  console.log(lines.join("\n"));
}
