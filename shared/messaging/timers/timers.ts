import type { ServiceDatabase } from "../database.ts";
import { byName, errorText, isLogged, resultOfWork, StorageError, UsageError } from "../errors.ts";
import type { Cause } from "../outbox/outbox.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import { type Backoff, backoffMs, type Logger, type Runtime, STORAGE_PAUSE_MS } from "../runtime.ts";
import { storedTrace, type Tracing, traceWithin, within } from "../tracing.ts";
import type { Timer, Transaction, UnitOfWork } from "../unit-of-work.ts";

/** What a timer does when it is due, in a transaction: synchronous, all its effects on the database and the outbox. */
export interface TimerHandler {
  readonly name: string;
  // biome-ignore lint/suspicious/noConfusingVoidType: an asynchronous function could be assigned to `void` alone.
  fire(timer: Omit<Timer, "dueAt">, transaction: Transaction): void | undefined;
}

/** Timers that one unit of work fires. */
const SLICE = 100;
/** The longest sleep: a change of the system's clock is noticed within it. */
const LONGEST_SLEEP_MS = 30_000;
const BACKOFF: Backoff = { firstMs: 1_000, mostMs: 60_000 };
/** Tries before a timer is left alone. It stays, with its error, and is counted as failed. */
const MAX_ATTEMPTS = 10;
const MAX_ERROR_CHARACTERS = 500;
/** A timer that is due for longer has not just come due: it is late. */
const LATE_MS = 1_000;

interface TimerRow {
  readonly id: string;
  readonly name: string;
  readonly key: string;
  readonly data: string;
  readonly correlationId: string;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly attempts: number;
}

/**
 * Durable timers. A timer is set and cancelled in the transaction of what it belongs to, and removed in the one that
 * fires it: it fires exactly once, also when it came due while no process ran.
 */
export class Timers {
  readonly #statements;
  readonly #handlers: ReadonlyMap<string, TimerHandler>;
  readonly #sql: ServiceDatabase["sql"];
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #tracing: Tracing | undefined;
  /** The faults of the storage, and the timers that fail. */
  readonly #waits: RepeatedFailure;
  readonly #tries: RepeatedFailure;
  #cancelSleep: () => void = () => {};
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly handlers: readonly TimerHandler[];
    readonly runtime: Runtime;
    readonly log: Logger;
    readonly tracing: Tracing | undefined;
  }) {
    const { sql } = options.database;
    this.#sql = sql;
    this.#handlers = byName("handlers of timers named", options.handlers, ({ name }) => name);
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#tracing = options.tracing;
    // One that a newer version of the service set waits for that version.
    const known = `name IN (${[...this.#handlers.keys()].map((name) => `'${name.replaceAll("'", "''")}'`).join(", ")})`;
    this.#waits = new RepeatedFailure(options.runtime, options.log);
    this.#tries = new RepeatedFailure(options.runtime, options.log);
    this.#statements = {
      set: sql.prepare(
        `INSERT INTO timers (name, key, due_at, data, id, correlation_id, traceparent, tracestate) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET id = excluded.id, due_at = excluded.due_at, data = excluded.data, attempts = 0, error = NULL,
           correlation_id = excluded.correlation_id, traceparent = excluded.traceparent, tracestate = excluded.tracestate`,
      ),
      remove: sql.prepare("DELETE FROM timers WHERE name = ? AND key = ?"),
      dueIds: sql.prepare<{ id: string; dueAt: number }, [number]>(
        `SELECT id, due_at AS dueAt FROM timers WHERE due_at <= ? AND ${known} ORDER BY due_at`,
      ),
      find: sql.prepare<TimerRow, [string]>(
        `SELECT id, name, key, data, correlation_id AS correlationId, traceparent, tracestate, attempts FROM timers
         WHERE id = ? AND ${known}`,
      ),
      due: sql.prepare<TimerRow, [number, number]>(
        `SELECT id, name, key, data, correlation_id AS correlationId, traceparent, tracestate, attempts FROM timers
         WHERE due_at <= ? AND ${known} ORDER BY due_at LIMIT ?`,
      ),
      next: sql.prepare<{ due_at: number }, []>(
        `SELECT due_at FROM timers WHERE due_at IS NOT NULL AND ${known} ORDER BY due_at LIMIT 1`,
      ),
      postpone: sql.prepare(
        "UPDATE timers SET due_at = ?, attempts = attempts + 1, error = ? WHERE name = ? AND key = ?",
      ),
      late: sql.prepare<{ count: number; oldestAt: number | null }, [number]>(
        "SELECT count(*) AS count, min(due_at) AS oldestAt FROM timers WHERE due_at < ?",
      ),
      counts: sql.prepare<{ pending: number; failed: number }, []>(
        "SELECT count(due_at) AS pending, count(*) - count(due_at) AS failed FROM timers",
      ),
    };
  }

  /** Behind `Transaction.setTimer`. @throws UsageError for a timer that could never fire */
  set({ name, key, dueAt, data }: Timer, id: string, cause: Cause | undefined): void {
    if (!this.#handlers.has(name)) throw new UsageError(`there is no handler for timers named ${name}`);
    if (!Number.isSafeInteger(dueAt)) throw new UsageError(`timer ${name} ${key}: dueAt is ${dueAt}`);
    const { correlationId = id, traceparent = null, tracestate = null } = cause ?? {};
    const json = JSON.stringify(data ?? null);
    this.#statements.set.run(name, key, dueAt, json, id, correlationId, traceparent, tracestate);
  }

  /** Behind `Transaction.cancelTimer`. */
  remove(name: string, key: string): void {
    this.#statements.remove.run(name, key);
  }

  /** Timers that are to fire, and those that failed too often. */
  counts(): { readonly pending: number; readonly failed: number } {
    return this.#statements.counts.get() ?? { pending: 0, failed: 0 };
  }

  /** Timers that have been due for more than a second, and for how long the first of them, in milliseconds. */
  late(): { readonly count: number; readonly mostMs: number } {
    const now = this.#runtime.now();
    const { count = 0, oldestAt = null } = this.#statements.late.get(now - LATE_MS) ?? {};
    return { count, mostMs: oldestAt === null ? 0 : now - oldestAt };
  }

  /** Fires timers in units of work, beginning with those that came due while no process ran. */
  start(unitOfWork: UnitOfWork): void {
    unitOfWork.onTimer(() => this.#wake(unitOfWork));
    this.#wake(unitOfWork);
  }

  /** Resolves when no timer is being fired any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSleep();
    await this.#running;
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #wake(unitOfWork: UnitOfWork): void {
    if (this.#stopped || this.#running !== undefined) return;
    this.#cancelSleep();
    this.#running = this.#fireDue(unitOfWork).then((pauseMs) => {
      this.#running = undefined;
      this.#sleep(pauseMs, unitOfWork);
    });
  }

  #sleep(atLeastMs: number, unitOfWork: UnitOfWork): void {
    const next = this.#nextDueAt();
    if (this.#stopped || next === undefined) return;
    const delayMs = Math.min(LONGEST_SLEEP_MS, Math.max(atLeastMs, next - this.#runtime.now()));
    this.#cancelSleep = this.#runtime.after(delayMs, () => this.#wake(unitOfWork));
  }

  /** When to look next, in milliseconds since the epoch: also after the disk failed. */
  #nextDueAt(): number | undefined {
    try {
      return this.#statements.next.get()?.due_at;
    } catch (error) {
      this.#waits.failed("", error, {}, "timers wait: nothing can be read");
      return this.#runtime.now() + STORAGE_PAUSE_MS;
    }
  }

  /** @returns for how long not to try again, in milliseconds */
  async #fireDue(unitOfWork: UnitOfWork): Promise<number> {
    while (!this.#stopped && (this.#nextDueAt() ?? Number.POSITIVE_INFINITY) <= this.#runtime.now()) {
      const slice: { current?: TimerRow } = {};
      try {
        await unitOfWork.run((transaction) => this.#fireSlice(slice, transaction));
        this.#waits.over("", {}, "timers go on");
      } catch (error) {
        try {
          await this.#postpone(slice.current, error, unitOfWork);
        } catch (fault) {
          if (!isLogged(fault)) this.#waits.failed("", fault, {}, "timers wait: nothing can be stored");
          return STORAGE_PAUSE_MS;
        }
      }
    }
    return 0;
  }

  /** The timers that are due at a time, by when they became due. */
  dueAt(time: number): readonly { readonly id: string; readonly dueAt: number }[] {
    return this.#statements.dueIds.all(time);
  }

  /** Fires one timer, due or not. @returns whether there is one of that id */
  fire(id: string, transaction: Transaction): boolean {
    const row = this.#statements.find.get(id);
    if (row !== null) this.#fire(row, transaction);
    return row !== null;
  }

  /** @param slice gets the timer that is being fired, so that its failure can be attributed to it */
  #fireSlice(slice: { current?: TimerRow }, transaction: Transaction): void {
    for (const row of this.#statements.due.all(transaction.now, SLICE)) {
      slice.current = row;
      this.#fire(row, transaction);
      if (transaction.overBudget()) return;
    }
  }

  #fire(row: TimerRow, transaction: Transaction): void {
    const { id, name, key, correlationId } = row;
    const trace = storedTrace(row);
    const span = this.#tracing?.internal(`fire ${name}`, trace, { "timer.key": key });
    const handler = this.#handlers.get(name);
    if (handler === undefined) throw new TypeError(`there is no handler for timers named ${name}`);
    this.remove(name, key);
    const cause = { correlationId, causationId: id, idSeed: id, ...traceWithin(span, trace) };
    const timer = { name, key, data: JSON.parse(row.data) };
    const result = within(span, () => handler.fire(timer, transaction.causedBy(cause)));
    resultOfWork(result, `the handler of timers named ${name}`, this.#sql, this.#log);
    if (span !== undefined) transaction.afterCommit(() => span.end());
    if (row.attempts > 0) {
      const fields = { timer: name, key, correlationId };
      transaction.afterCommit(() => this.#tries.over(name, fields, "timers that had failed are fired", key));
    }
  }

  /** Fires a timer again later. The others of its slice, which were rolled back with it, follow at once. */
  async #postpone(row: TimerRow | undefined, error: unknown, unitOfWork: UnitOfWork): Promise<void> {
    if (row === undefined || error instanceof StorageError) throw error;
    const attempts = row.attempts + 1;
    const isLast = attempts >= MAX_ATTEMPTS || error instanceof UsageError;
    const { name, key, correlationId } = row;
    const fields = { timer: name, key, correlationId, attempts };
    if (isLast) {
      this.#tries.forget(name, key);
      this.#log.error({ ...fields, err: error }, "a timer failed, it is not tried again");
    } else {
      const more = { level: "error", member: key } as const;
      this.#tries.failed(name, error, fields, "a timer failed, it is tried again", more);
    }
    await unitOfWork.run((transaction) => {
      const delayMs = backoffMs(BACKOFF, attempts, () => this.#runtime.random());
      const dueAt = isLast ? null : transaction.now + delayMs;
      this.#statements.postpone.run(
        dueAt,
        errorText(error).slice(0, MAX_ERROR_CHARACTERS),
        row.name,
        row.key,
      );
    });
  }
}
