import type { Database, Statement } from "bun:sqlite";
import type { ServiceDatabase } from "@distributed-messaging/messaging";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { Faults } from "./faults.ts";
import { Crashed, type Incarnation } from "./incarnation.ts";
import type { ServiceMutation, StatementCalls } from "./mutation.ts";
import type { Prng } from "./prng.ts";

export interface StorageOptions {
  readonly raw: ServiceDatabase;
  readonly incarnation: Incarnation;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly mutation: ServiceMutation;
  /** Called after every COMMIT, before anybody learns of it. */
  committed(): void;
  /** Called when something is written that no transaction holds together. */
  writtenAlone(sql: string): void;
}

/**
 * A service's database as one life of its process sees it. It dies with the process: then it refuses
 * everything, so that what the code still does after the crash leaves no trace. The file itself lives on.
 */
export function connectStorage(options: StorageOptions): ServiceDatabase {
  const sql = new Connection(options).proxy();
  return { sql, orm: drizzle(sql), path: options.raw.path, close() {} };
}

class Connection {
  readonly #options: StorageOptions;
  readonly #raw: Database;
  /** The schema is being made: nothing of that is a step of a unit of work. */
  #migrating = false;

  constructor(options: StorageOptions) {
    this.#options = options;
    this.#raw = options.raw.sql;
  }

  /** A Proxy, because Database has private fields: only the real one has them. */
  proxy(): Database {
    const raw = this.#raw;
    const own: Readonly<Record<string, unknown>> = {
      run: (sql: string, ...parameters: unknown[]) => this.#run(sql, parameters),
      exec: (sql: string, ...parameters: unknown[]) => this.#run(sql, parameters),
      prepare: (sql: string) => this.#prepare(sql, (text) => raw.prepare(text)),
      query: (sql: string) => this.#prepare(sql, (text) => raw.query(text)),
      transaction: (body: () => unknown) => ({ immediate: () => this.#migrate(body) }),
    };
    return new Proxy(raw, {
      get: (target, name) => {
        if (name === "inTransaction") return this.#options.incarnation.alive && target.inTransaction;
        if (typeof name === "string" && Object.hasOwn(own, name)) return own[name];
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Only migrations go this way. */
  #migrate(body: () => unknown): void {
    this.#migrating = true;
    try {
      this.#raw.transaction(body).immediate();
    } finally {
      this.#migrating = false;
    }
  }

  #run(sql: string, parameters: unknown[]): unknown {
    const { mutation } = this.#options;
    const text = mutation.rewrite?.(sql) ?? sql;
    const verb = text.slice(0, 8).trimStart().toUpperCase();
    if (verb.startsWith("COMMIT")) return this.#commit(text);
    this.#before(/^(BEGIN|ROLLBACK|SAVEPOIN|RELEASE)/.test(verb) ? "control" : "write", text);
    if (text === "") return undefined;
    // The few that are run over and over are kept prepared.
    if (parameters.length === 0 && !this.#migrating) return this.#raw.query(text).run();
    return this.#raw.run(text, ...(parameters as [string[]]));
  }

  #commit(text: string): unknown {
    const { incarnation, faults, committed } = this.#options;
    this.#assertAlive();
    if (faults.strikes("crashBeforeCommit")) this.#crash("before COMMIT");
    if (faults.strikes("commitRefused")) this.#refuse("SQLITE_FULL", "database or disk is full");
    const result = this.#raw.query(text).run();
    committed();
    if (incarnation.alive && faults.strikes("crashAfterCommit")) this.#crash("after COMMIT");
    return result;
  }

  #prepare(sql: string, prepare: (text: string) => Statement): Statement {
    this.#assertAlive();
    const text = this.#options.mutation.rewrite?.(sql) ?? sql;
    const statement = prepare(text);
    const kind = /^\s*(INSERT|UPDATE|DELETE|REPLACE)/i.test(text) ? "write" : "read";
    const original: StatementCalls = {
      run: (...parameters) => statement.run(...(parameters as string[])),
      get: (...parameters) => statement.get(...(parameters as string[])),
      all: (...parameters) => statement.all(...(parameters as string[])),
      values: (...parameters) => statement.values(...(parameters as string[])),
    };
    const calls = { ...original, ...this.#options.mutation.statement?.(text, original) };
    const after = <Name extends keyof StatementCalls>(call: StatementCalls[Name]): StatementCalls[Name] =>
      ((...parameters: unknown[]) => {
        this.#before(kind, text);
        return call(...parameters);
      }) as StatementCalls[Name];
    const all = after<"all">(calls.all);
    // The part of Statement that the kit and drizzle use; anything else would be undefined, and noticed.
    return {
      run: after<"run">(calls.run),
      get: after<"get">(calls.get),
      all,
      values: after<"values">(calls.values),
      iterate: (...parameters: unknown[]) => all(...parameters).values(),
      finalize: () => statement.finalize(),
      [Symbol.dispose]: () => statement.finalize(),
    } as unknown as Statement;
  }

  /** Every step before it is taken. */
  #before(kind: "control" | "read" | "write", sql: string): void {
    const { faults, prng, incarnation, writtenAlone } = this.#options;
    const { inTransaction } = this.#raw;
    // A read leaves no trace, so the dead may read: it keeps their promises from being rejected unheard.
    if (kind === "read" && !inTransaction) {
      if (faults.strikes("readRefused")) throw sqliteError("SQLITE_IOERR_READ", "disk I/O error");
      if (faults.strikes("crashAtStatement")) incarnation.crash("at a read");
      return;
    }
    this.#assertAlive();
    if (kind === "control" || this.#migrating) return;
    if (!inTransaction && !sql.includes("IF NOT EXISTS")) writtenAlone(sql);
    if (faults.strikes("crashAtStatement")) this.#crash("within a transaction");
    if (faults.strikes("statementRefused")) {
      if (prng.chance(0.5)) this.#refuse("SQLITE_FULL", "database or disk is full");
      this.#refuse("SQLITE_IOERR_WRITE", "disk I/O error");
    }
  }

  /** Fails as SQLite does, which after some faults has undone the whole transaction by itself. */
  #refuse(code: string, text: string): never {
    if (this.#options.prng.chance(0.5)) this.#raw.run("ROLLBACK");
    throw sqliteError(code, text);
  }

  #crash(step: string): never {
    this.#options.incarnation.crash(step);
    throw new Crashed(step);
  }

  #assertAlive(): void {
    if (!this.#options.incarnation.alive) throw new Crashed("dead already");
  }
}

function sqliteError(code: string, text: string): Error {
  return Object.assign(new Error(text), { name: "SQLiteError", code });
}

/** Whether SQLite says that something went wrong, in truth or because it was made to. */
export function isSqliteError(error: unknown): boolean {
  return error instanceof Error && error.name === "SQLiteError";
}
