import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { ServiceDatabase } from "./database.ts";
import { errorText } from "./errors.ts";
import { RepeatedFailure } from "./repeated-failure.ts";
import type { Logger, Runtime } from "./runtime.ts";

/** A write is tried at most so often while nothing can be stored, and while nothing is known to fail. */
const RETRY_MS = 1_000;
const PROBE_MS = 10_000;
/** With less, the next commit would fail again: a small write may find space where a larger one does not. */
const ROOM_BYTES = 1024 * 1024;

/**
 * Whether something can be stored, as the last commit or a small write that is tried found it. Reads go on while nothing
 * can be.
 */
export class StorageState {
  readonly #database;
  readonly #runtime;
  readonly #failure;
  #fault: string | undefined;
  #triedMs = Number.NEGATIVE_INFINITY;
  #writes = 0;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly runtime: Runtime;
    readonly log: Logger;
  }) {
    this.#database = options.database;
    this.#runtime = options.runtime;
    this.#failure = new RepeatedFailure(options.runtime, options.log);
  }

  /** A commit failed because of the storage. */
  failed(error: unknown): void {
    this.#fault = errorText(error);
    this.#failure.failed("", error, {}, "nothing can be stored: requests are refused, messages wait", {
      level: "error",
    });
  }

  /** A commit succeeded. That it wrote something is not said: one that did not succeeds on a full disk, too. */
  committed(): void {
    if (this.#fault !== undefined) this.#tryIfDue();
  }

  /** Why nothing can be stored; undefined when something can be. Now and then it writes, to find out. */
  fault(): string | undefined {
    this.#tryIfDue();
    return this.#fault;
  }

  #tryIfDue(): void {
    const { sql } = this.#database;
    const now = this.#runtime.monotonic();
    if (sql.inTransaction || now - this.#triedMs < (this.#fault === undefined ? PROBE_MS : RETRY_MS)) return;
    this.#triedMs = now;
    try {
      this.#write();
    } catch (error) {
      if (sql.inTransaction) sql.run("ROLLBACK");
      this.failed(error);
      return;
    }
    if (this.#fault === undefined || !this.#hasRoom()) return;
    this.#fault = undefined;
    this.#failure.over("", {}, "something can be stored again");
  }

  /** The smallest write that reaches the disk: a number in the header of the file, which nobody reads. */
  #write(): void {
    const { sql } = this.#database;
    this.#writes = (this.#writes + 1) % 0x7fff_ffff;
    sql.run("BEGIN IMMEDIATE");
    sql.run(`PRAGMA user_version = ${this.#writes}`);
    sql.run("COMMIT");
  }

  #hasRoom(): boolean {
    const { path } = this.#database;
    if (path === ":memory:") return true;
    try {
      const { bavail, bsize } = statfsSync(dirname(path));
      return bavail * bsize >= ROOM_BYTES;
    } catch {
      return true;
    }
  }
}
