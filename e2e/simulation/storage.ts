import { Database, type Statement } from "bun:sqlite";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Migration,
  migrate,
  openDatabase,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import {
  fingerprint,
  fingerprintOfBytes,
  kitMigrations,
  type Position,
} from "@distributed-messaging/messaging/internal";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { PartitionLog } from "./broker.ts";
import type { Faults } from "./faults.ts";
import { ledgerMigrations, recordTables } from "./ledger.ts";
import type { SeededFault, StatementCalls } from "./mutants.ts";
import type { Prng } from "./prng.ts";
import { Crashed, type Incarnation } from "./scheduler.ts";

/** The database of a service, as it is seen from outside of its processes. */
export class StoredState {
  readonly database: ServiceDatabase;

  constructor(database: ServiceDatabase) {
    this.database = database;
  }

  /** How many rows a table has. */
  count(table: string): number {
    const { sql } = this.database;
    return sql.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
  }

  /** Whether all records of a partition have been handled, or left out. */
  hasHandled(log: PartitionLog): boolean {
    if (log.records.length > 0 || log.undecodable.length > 0) return this.nextIn(log) === log.end;
    // What retention has removed may be unread.
    return log.start === 0 || (this.#positionIn(log)?.next ?? log.end) === log.end;
  }

  /** The first offset of a log that has not been handled; undefined if the stored one may be that of another log. */
  nextIn(log: PartitionLog): number | undefined {
    const { next = log.end + 1, lastRecord } = this.#positionIn(log) ?? {};
    if (next > log.end) return undefined;
    const batch = log.undecodable.find(({ lastOffset }) => lastOffset === next - 1);
    if (batch !== undefined) return fingerprintOfBytes(batch.bytes, next) === lastRecord ? next : undefined;
    const last = log.records.findLast(({ offset }) => offset < next);
    return last?.offset === next - 1 && fingerprint(last) === lastRecord ? next : undefined;
  }

  #positionIn({ topic, partition }: PartitionLog): Position | null {
    return this.database.sql
      .query<Position, [string, number]>(
        "SELECT next_offset AS next, last_record AS lastRecord FROM consumer_offsets WHERE topic = ? AND partition = ?",
      )
      .get(topic, partition);
  }

  /** Rolls back what a process that has ended had not committed. */
  rollBack(): void {
    const { sql } = this.database;
    if (sql.inTransaction) sql.run("ROLLBACK");
  }
}

/** Makes the tables of a service, of the kit and of the simulation in a database without any. */
export function createTables(
  database: ServiceDatabase,
  service: string,
  migrations: readonly Migration[],
  mutant: SeededFault,
): void {
  migrate(database, service, migrations);
  migrate(database, "messaging", kitMigrations);
  migrate(database, "simulation", ledgerMigrations);
  mutant.schema?.(database.sql);
  recordTables(database);
}

/**
 * A service's database file, which outlives its processes. It is in memory: whether a commit is durable is up to the
 * simulation, and no fsync slows it down.
 */
export class Disk extends StoredState {
  /** An empty file: the place of the database, by which its owner is known. */
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "simulation-"));

  constructor(database: ServiceDatabase) {
    super(database);
    this.path = join(this.#folder, "database.sqlite");
    writeFileSync(this.path, "");
  }

  static create(service: string, migrations: readonly Migration[], mutant: SeededFault): Disk {
    const database = openDatabase(":memory:");
    createTables(database, service, migrations, mutant);
    return new Disk(database);
  }

  /** The same content, in another place. */
  copy(): Disk {
    const sql = Database.deserialize(this.database.sql.serialize(), { strict: true });
    sql.run("PRAGMA foreign_keys = ON");
    return new Disk({ sql, orm: drizzle(sql), path: ":memory:", close: () => sql.close() });
  }

  close(): void {
    this.database.close();
    rmSync(this.#folder, { recursive: true });
  }
}

/** What a process connects to. */
export type Connectable = Pick<Disk, "database" | "path">;

interface ConnectionOptions {
  readonly disk: Connectable;
  readonly incarnation: Incarnation;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly mutant: SeededFault;
  /** Called after every COMMIT, before the process continues. */
  committed(): void;
  /** Called when a statement writes outside of a transaction. */
  writtenOutside(sql: string): void;
}

/**
 * The database as one incarnation of the service's process sees it. Its statements fail, and crash the process, at
 * random. Once the process has ended every write throws `Crashed`, so that code which still runs has no effect.
 */
export function connect(options: ConnectionOptions): ServiceDatabase {
  const sql = new Connection(options).proxy();
  const { path, database } = options.disk;
  const { replication } = database;
  return { sql, orm: drizzle(sql), path, ...(replication && { replication }), close() {} };
}

class Connection {
  readonly #options: ConnectionOptions;
  readonly #disk: Database;
  #migrating = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#disk = options.disk.database.sql;
  }

  /** A proxy, since only a real Database has the private fields of the class. */
  proxy(): Database {
    const disk = this.#disk;
    const own: Readonly<Record<string, unknown>> = {
      run: (sql: string, ...parameters: unknown[]) => this.#run(sql, parameters),
      exec: (sql: string, ...parameters: unknown[]) => this.#run(sql, parameters),
      prepare: (sql: string) => this.#prepare(sql),
      query: (sql: string) => this.#prepare(sql),
      transaction: (body: () => unknown) => ({ immediate: () => this.#migrate(body) }),
    };
    return new Proxy(disk, {
      get: (target, name) => {
        if (name === "inTransaction") return this.#options.incarnation.alive && target.inTransaction;
        if (typeof name === "string" && Object.hasOwn(own, name)) return own[name];
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Only migrations use `transaction`. */
  #migrate(body: () => unknown): void {
    this.#migrating = true;
    try {
      this.#disk.transaction(body).immediate();
    } finally {
      this.#migrating = false;
    }
  }

  #run(sql: string, parameters: unknown[]): unknown {
    const text = this.#options.mutant.rewrite?.(sql) ?? sql;
    const verb = text.slice(0, 8).trimStart().toUpperCase();
    if (verb.startsWith("COMMIT")) return this.#commit(text);
    this.#before(/^(BEGIN|ROLLBACK|SAVEPOIN|RELEASE|PRAGMA)/.test(verb) ? "control" : "write", text);
    if (text === "") return undefined;
    if (parameters.length === 0 && !this.#migrating) return preparedOn(this.#disk, text).run();
    return this.#disk.run(text, ...(parameters as [string[]]));
  }

  #commit(text: string): unknown {
    const { incarnation, faults, committed } = this.#options;
    this.#assertAlive();
    if (faults.occurs("crashBeforeCommit")) this.#crash("before COMMIT");
    if (faults.occurs("commitRefused")) this.#refuse("SQLITE_FULL", "database or disk is full");
    const result = preparedOn(this.#disk, text).run();
    committed();
    if (incarnation.alive && faults.occurs("crashAfterCommit")) this.#crash("after COMMIT");
    return result;
  }

  #prepare(sql: string): Statement {
    this.#assertAlive();
    const text = this.#options.mutant.rewrite?.(sql) ?? sql;
    const statement = preparedOn(this.#disk, text);
    const kind = /^\s*(INSERT|UPDATE|DELETE|REPLACE)/i.test(text) ? "write" : "read";
    const original: StatementCalls = {
      run: (...parameters) => statement.run(...(parameters as string[])),
      get: (...parameters) => statement.get(...(parameters as string[])),
      all: (...parameters) => statement.all(...(parameters as string[])),
      values: (...parameters) => statement.values(...(parameters as string[])),
    };
    const calls = { ...original, ...this.#options.mutant.statement?.(text, original) };
    const after = <Name extends keyof StatementCalls>(call: StatementCalls[Name]): StatementCalls[Name] =>
      ((...parameters: unknown[]) => {
        this.#before(kind, text);
        return call(...parameters);
      }) as StatementCalls[Name];
    const all = after<"all">(calls.all);
    // The part of Statement that the kit and drizzle use; another call would fail, since it is undefined.
    return {
      run: after<"run">(calls.run),
      get: after<"get">(calls.get),
      all,
      values: after<"values">(calls.values),
      iterate: (...parameters: unknown[]) => all(...parameters).values(),
      finalize() {},
      [Symbol.dispose]() {},
    } as unknown as Statement;
  }

  /** Called before each statement, except COMMIT. */
  #before(kind: "control" | "read" | "write", sql: string): void {
    const { faults, prng, incarnation, writtenOutside } = this.#options;
    const { inTransaction } = this.#disk;
    // A process that has ended may read, which has no effect. Throwing would cause unhandled rejections.
    if (kind === "read" && !inTransaction) {
      if (faults.occurs("readRefused")) throw sqliteError("SQLITE_IOERR_READ", "disk I/O error");
      if (faults.occurs("crashAtStatement")) incarnation.crash("at a read");
      return;
    }
    this.#assertAlive();
    if (kind === "control" || this.#migrating) return;
    if (!inTransaction && !sql.includes("IF NOT EXISTS")) writtenOutside(sql);
    if (faults.occurs("crashAtStatement")) this.#crash("within a transaction");
    if (faults.occurs("statementRefused")) {
      if (prng.chance(0.5)) this.#refuse("SQLITE_FULL", "database or disk is full");
      this.#refuse("SQLITE_IOERR_WRITE", "disk I/O error");
    }
  }

  /** Fails as SQLite does, which rolls the whole transaction back after some errors. */
  #refuse(code: string, text: string): never {
    if (this.#options.prng.chance(0.5)) this.#disk.run("ROLLBACK");
    throw sqliteError(code, text);
  }

  #crash(step: string): never {
    this.#options.incarnation.crash(step);
    throw new Crashed(step);
  }

  #assertAlive(): void {
    if (!this.#options.incarnation.alive) throw new Crashed("the process has ended");
  }
}

const statements = new WeakMap<Database, Map<string, Statement>>();

/** A statement that stays prepared for as long as the database is open: each incarnation would prepare it again. */
function preparedOn(database: Database, sql: string): Statement {
  const prepared = statements.getOrInsertComputed(database, () => new Map());
  return prepared.getOrInsertComputed(sql, () => database.prepare(sql));
}

/** Ends the statements that stay prepared, which would keep a file open that is closed. */
export function finalizeStatements(database: Database): void {
  for (const statement of statements.get(database)?.values() ?? []) statement.finalize();
  statements.delete(database);
}

function sqliteError(code: string, text: string): Error {
  return Object.assign(new Error(text), { name: "SQLiteError", code });
}

/** Whether an error is of SQLite, genuine or injected. */
export function isSqliteError(error: unknown): boolean {
  return error instanceof Error && error.name === "SQLiteError";
}
