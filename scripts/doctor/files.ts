import { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, statfsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { errorText, type Migration } from "@distributed-messaging/messaging";
import { kitMigrations } from "@distributed-messaging/messaging/internal";
import { isOfAnother } from "@distributed-messaging/service/files";
import { keyMigrations } from "@distributed-messaging/service/jwks";
import { serviceNames, services } from "@distributed-messaging/services/registry";
import type { Settings } from "@distributed-messaging/supervisor/settings";
import { type Finding, failed, ok, orOk, warning } from "./finding.ts";

const FAILED_SHARE = 0.05;
const WARNED_SHARE = 0.15;
const OTHERS = 0o077;
const MIB = 1024 * 1024;

/** The disk and the files of the data directory; where there is none, as on another machine, that is said. */
export async function checkFiles({ dataDir, operatorKeyFile }: Settings): Promise<readonly Finding[]> {
  const path = resolve(dataDir);
  if (!existsSync(path)) {
    return [
      warning(
        "files",
        `DATA_DIR: there is no '${path}': neither the disk nor the databases are checked`,
        "run the doctor on the machine of the services, with their DATA_DIR",
      ),
    ];
  }
  return [
    freeSpace(path),
    ...orOk("files", permissions(path, operatorKeyFile), "only their owner can read databases and keys"),
    ...(await databases(path)),
  ];
}

function freeSpace(path: string): Finding {
  const { bavail, blocks, bsize } = statfsSync(path);
  const share = bavail / blocks;
  const text = `${(share * 100).toFixed(0)} % of the disk of DATA_DIR is free (${Math.floor((bavail * bsize) / MIB)} MiB)`;
  const remedy = "docs/operations.md#diskspacelow: remove what is not the store's, or enlarge the volume";
  if (share < FAILED_SHARE) return failed("disk", text, remedy);
  return share < WARNED_SHARE ? warning("disk", text, remedy) : ok("disk", text);
}

function permissions(dataDir: string, operatorKeyFile: string): Finding[] {
  const isPrivate = (name: string) => /\.(sqlite|sqlite-wal|sqlite-shm|jwk)$/.test(name);
  const paths = new Set([
    dataDir,
    ...readdirSync(dataDir)
      .filter(isPrivate)
      .map((name) => join(dataDir, name)),
    ...(existsSync(operatorKeyFile) ? [resolve(operatorKeyFile)] : []),
  ]);
  return [...paths].flatMap((path) => {
    // A file beside a database comes and goes.
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return [];
    const found: Finding[] = [];
    if ((stats.mode & OTHERS) !== 0) {
      const mode = stats.isDirectory() ? "700" : "600";
      const text = `others have access to ${path} (${(stats.mode & 0o777).toString(8)})`;
      found.push(failed("files", text, `chmod ${mode} '${path}'`));
    }
    if (stats.isFile() && isOfAnother(path)) {
      found.push(failed("files", `${path} belongs to another user`, "chown it to the user of the services"));
    }
    return found;
  });
}

/** Compares the schema of each database with that of this version, and looks for messages that wait in it. */
async function databases(dataDir: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of serviceNames) {
    const path = join(dataDir, `${name}.sqlite`);
    if (!existsSync(path)) {
      const remedy = `the next start of ${name} creates it; if there was one, restore it from the backup first`;
      findings.push(warning("versions", `${name} has no database in DATA_DIR`, remedy));
      continue;
    }
    const { service } = await services[name].load();
    try {
      const known = { messaging: kitMigrations, "signing-keys": keyMigrations, [name]: service.migrations };
      using database = new Database(path, { readonly: true });
      findings.push(schemaOf(name, database, known), outboxOf(name, database));
    } catch (error) {
      const remedy = "bun run start-persistence says what is damaged; restore the file from the backup";
      findings.push(failed("versions", `${name}: its database cannot be read: ${errorText(error)}`, remedy));
    }
  }
  return findings;
}

interface Step {
  readonly scope: string;
  readonly step: number;
  readonly name: string;
  readonly checksum: string;
  /** 1 where an older version can go on without it; absent in databases of versions that did not know that. */
  readonly additive?: number;
}

function schemaOf(
  name: string,
  database: Database,
  known: Readonly<Record<string, readonly Migration[]>>,
): Finding {
  const steps = database.query<Step, []>("SELECT * FROM migrations ORDER BY scope, step").all();
  const isKnown = ({ scope, step, checksum }: Step) => {
    const migration = known[scope]?.[step - 1];
    return migration !== undefined && checksumOf(migration.sql) === checksum;
  };
  const unknown = steps.filter((step) => !isKnown(step));
  const [first] = unknown;
  if (first !== undefined) {
    const text = `${name}: its database has the step '${first.name}', which this version does not know`;
    return unknown.every(({ additive }) => additive === 1)
      ? warning("versions", `${text} and can do without`, "upgrade again when the reason to go back is gone")
      : failed(
          "versions",
          text,
          `start ${name} with the version that wrote it, or restore the backup before it`,
        );
  }
  const missing = Object.values(known).reduce((sum, { length }) => sum + length, 0) - steps.length;
  return missing === 0
    ? ok("versions", `${name}: its database has the schema of this version`)
    : warning(
        "versions",
        `${name}: its database lacks ${missing} steps of the schema`,
        `back it up; the next start of ${name} applies them`,
      );
}

function outboxOf(name: string, database: Database): Finding {
  using waiting = database.prepare<{ count: number }, []>("SELECT count(*) AS count FROM outbox");
  const { count = 0 } = waiting.get() ?? {};
  return count === 0
    ? ok("outbox", `${name}: nothing waits to be sent`)
    : warning(
        "outbox",
        `${name}: ${count} of its messages wait to be sent`,
        `start ${name} if it is stopped: they are sent once the brokers take them`,
      );
}

/** As the kit stores it with an applied step. */
function checksumOf(sql: string): string {
  return createHash("sha256").update(sql).digest("hex").slice(0, 16);
}
