import { isStorageFault, type ServiceDatabase } from "./database.ts";
import { StorageError } from "./errors.ts";
import type { Outbox } from "./outbox/outbox.ts";
import type { Runtime } from "./runtime.ts";
import type { TimerStore } from "./timers/timer-store.ts";
import { type Cause, type Transaction, TransactionGroup } from "./transaction.ts";

/**
 * A piece of work: synchronous, because an awaited write would commit before it is finished. It may run more
 * than once (when another one of its group fails), so its only effects are on the database and the outbox.
 */
export type Work<T> = (transaction: Transaction) => T extends PromiseLike<unknown> ? never : T;

interface Entry {
  readonly work: (transaction: Transaction) => unknown;
  readonly cause: Cause | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/**
 * The one writer of a database. Work from HTTP and from the broker queues up here; all that is queued runs in
 * one `BEGIN IMMEDIATE … COMMIT`, one fsync for all, and each caller is answered after it. There is no timer:
 * a group is whatever arrived while the last one was written.
 *
 * A work that throws is rolled back alone: the group then runs again with a savepoint for each. That is the
 * rare case, so the usual one pays for no savepoints.
 */
export class UnitOfWork {
  readonly #database: ServiceDatabase;
  readonly #outbox: Outbox;
  readonly #timers: TimerStore;
  readonly #source: string;
  readonly #runtime: Runtime;
  readonly #emitListeners: (() => void)[] = [];
  readonly #timerListeners: (() => void)[] = [];
  #queue: Entry[] = [];
  #scheduled = false;
  #closed = false;

  constructor(options: {
    database: ServiceDatabase;
    outbox: Outbox;
    timers: TimerStore;
    source: string;
    runtime: Runtime;
  }) {
    this.#database = options.database;
    this.#outbox = options.outbox;
    this.#timers = options.timers;
    this.#source = options.source;
    this.#runtime = options.runtime;
  }

  /**
   * Runs work in a transaction and resolves to its result once that is on disk.
   *
   * @param cause what the emitted messages are put down to; without one they begin a chain of their own
   * @throws whatever the work throws, after undoing it; StorageError when the disk refuses
   */
  run<T>(work: Work<T>, cause?: Cause): Promise<T> {
    if (this.#closed) return Promise.reject(new StorageError("the database is closed"));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, cause, resolve: (value) => resolve(value as T), reject });
      this.#schedule();
    });
  }

  /** Called after every commit that put something into the outbox. */
  onEmit(listener: () => void): void {
    this.#emitListeners.push(listener);
  }

  /** Called after every commit that set a deadline. */
  onTimer(listener: () => void): void {
    this.#timerListeners.push(listener);
  }

  /** Writes what is queued, then refuses all further work. */
  close(): void {
    while (this.#queue.length > 0) this.#flush();
    this.#closed = true;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#runtime.soon(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#flush();
    });
  }

  #flush(): void {
    const group = this.#queue;
    this.#queue = [];
    const context = new TransactionGroup(this.#outbox, this.#timers, this.#source, this.#runtime);
    let outcomes: Outcome[];
    try {
      outcomes = this.#commit(group, context);
    } catch (error) {
      this.#rollback();
      const reason = isStorageFault(error) ? new StorageError(String(error), { cause: error }) : error;
      for (const entry of group) entry.reject(reason);
      return;
    }
    const left = group.slice(outcomes.length);
    if (left.length > 0) {
      this.#queue = [...left, ...this.#queue];
      this.#schedule();
    }
    for (const [index, outcome] of outcomes.entries()) {
      if ("error" in outcome) group[index]?.reject(outcome.error);
      else group[index]?.resolve(outcome.value);
    }
    for (const callback of context.callbacks) callback();
    if (context.emitted) for (const listener of this.#emitListeners) listener();
    if (context.timed) for (const listener of this.#timerListeners) listener();
  }

  /** The outcome of each entry that ran, from the front; the rest is for the next group. */
  #commit(group: readonly Entry[], context: TransactionGroup): Outcome[] {
    const { sql } = this.#database;
    sql.run("BEGIN IMMEDIATE");
    const outcomes: Outcome[] = [];
    try {
      for (const entry of group) {
        if (outcomes.length > 0 && context.overBudget()) break;
        outcomes.push({ value: context.run(entry.work, entry.cause) });
      }
    } catch (error) {
      if (isStorageFault(error)) throw error;
      this.#rollback();
      context.reset();
      return this.#commitOneByOne(group.slice(0, outcomes.length + 1), context);
    }
    sql.run("COMMIT");
    return outcomes;
  }

  #commitOneByOne(group: readonly Entry[], context: TransactionGroup): Outcome[] {
    const { sql } = this.#database;
    sql.run("BEGIN IMMEDIATE");
    const outcomes = group.map((entry): Outcome => {
      const mark = context.mark();
      sql.run("SAVEPOINT work");
      try {
        const value = context.run(entry.work, entry.cause);
        sql.run("RELEASE work");
        return { value };
      } catch (error) {
        if (isStorageFault(error)) throw error;
        sql.run("ROLLBACK TO work");
        sql.run("RELEASE work");
        context.reset(mark);
        return { error };
      }
    });
    sql.run("COMMIT");
    return outcomes;
  }

  /** SQLite undoes the transaction by itself after some faults; then there is nothing left to undo. */
  #rollback(): void {
    if (this.#database.sql.inTransaction) this.#database.sql.run("ROLLBACK");
  }
}
