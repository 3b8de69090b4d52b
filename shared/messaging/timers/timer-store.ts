import type { ServiceDatabase } from "../database.ts";

/** A deadline that is being set. */
export interface Timer {
  /** What is to happen, `backorder-expiry`: says which handler. */
  readonly name: string;
  /** Whose it is. There is one deadline for each name and key. */
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly dueAt: number;
  /** Anything that JSON can hold. */
  readonly data?: unknown;
}

export interface TimerRow {
  readonly name: string;
  readonly key: string;
  readonly data: string;
  readonly correlationId: string;
  readonly attempts: number;
}

const MAX_ERROR_CHARACTERS = 500;

/** The deadlines as rows: what a transaction sets and cancels, and what `Timers` carries out. */
export class TimerStore {
  readonly #statements;

  constructor({ sql }: ServiceDatabase) {
    this.#statements = {
      set: sql.prepare(
        `INSERT INTO timers (name, key, due_at, data, correlation_id) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET due_at = excluded.due_at, data = excluded.data, attempts = 0, error = NULL,
           correlation_id = excluded.correlation_id`,
      ),
      remove: sql.prepare("DELETE FROM timers WHERE name = ? AND key = ?"),
      due: sql.prepare<TimerRow, [number, number]>(
        `SELECT name, key, data, correlation_id AS correlationId, attempts FROM timers
         WHERE due_at <= ? ORDER BY due_at LIMIT ?`,
      ),
      next: sql.prepare<{ due_at: number }, []>(
        "SELECT due_at FROM timers WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1",
      ),
      postpone: sql.prepare(
        "UPDATE timers SET due_at = ?, attempts = attempts + 1, error = ? WHERE name = ? AND key = ?",
      ),
      failed: sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM timers WHERE due_at IS NULL"),
      all: sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM timers"),
    };
  }

  /** Sets a deadline, in place of one of the same name and key. Only inside a transaction. */
  set(timer: Timer, correlationId: string): void {
    const { name, key, dueAt, data } = timer;
    this.#statements.set.run(name, key, dueAt, JSON.stringify(data ?? null), correlationId);
  }

  /** Forgets a deadline; one that is not there is no error. Only inside a transaction. */
  remove(name: string, key: string): void {
    this.#statements.remove.run(name, key);
  }

  due(now: number, limit: number): TimerRow[] {
    return this.#statements.due.all(now, limit);
  }

  /** When the next deadline comes, in milliseconds since the epoch. */
  nextDueAt(): number | undefined {
    return this.#statements.next.get()?.due_at;
  }

  /** Puts a deadline that failed off; `undefined`: for good. Only inside a transaction. */
  postpone(row: TimerRow, dueAt: number | undefined, error: string): void {
    this.#statements.postpone.run(dueAt ?? null, error.slice(0, MAX_ERROR_CHARACTERS), row.name, row.key);
  }

  /** Deadlines that wait, and among them those that failed too often to be tried again. */
  counts(): { pending: number; failed: number } {
    return {
      pending: this.#statements.all.get()?.count ?? 0,
      failed: this.#statements.failed.get()?.count ?? 0,
    };
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}
