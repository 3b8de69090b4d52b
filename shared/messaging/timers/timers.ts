import { StorageError } from "../errors.ts";
import { type Backoff, backoffMs, type Logger, type Runtime } from "../runtime.ts";
import type { Transaction } from "../transaction.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import type { Timer, TimerRow, TimerStore } from "./timer-store.ts";

/** Carries out a deadline, in a transaction: synchronous, with all its effects on the database and the outbox. */
export interface TimerHandler {
  readonly name: string;
  fire(timer: Omit<Timer, "dueAt">, transaction: Transaction): void;
}

/** Deadlines in one unit of work; messages get their turn before the next. */
const SLICE = 100;
/** A clock that jumps is noticed within this time. */
const LONGEST_SLEEP_MS = 30_000;
/** The disk refuses: nothing to do with any deadline. */
const STORAGE_PAUSE_MS = 1_000;
const BACKOFF: Backoff = { firstMs: 1_000, mostMs: 60_000 };
/** Tries before a deadline is left alone, visible in the figures, for somebody to look at. */
const MAX_ATTEMPTS = 10;

/**
 * Durable deadlines. Set and cancelled in the transaction of whatever they belong to, removed in the one that
 * carries them out: each comes exactly once, also when it came due while the process was down.
 */
export class Timers {
  readonly #store: TimerStore;
  readonly #unitOfWork: UnitOfWork;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #handlers: ReadonlyMap<string, TimerHandler>;
  #cancelSleep: () => void = () => {};
  #running: Promise<void> | undefined;
  #stopped = true;

  constructor(options: {
    store: TimerStore;
    unitOfWork: UnitOfWork;
    handlers: readonly TimerHandler[];
    runtime: Runtime;
    log: Logger;
  }) {
    this.#store = options.store;
    this.#unitOfWork = options.unitOfWork;
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#handlers = new Map(options.handlers.map((handler) => [handler.name, handler]));
    this.#unitOfWork.onTimer(() => this.#wake());
  }

  /** Begins with what came due while nobody was there. */
  start(): void {
    this.#stopped = false;
    this.#wake();
  }

  /** Resolves when no deadline is being carried out any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSleep();
    await this.#running;
  }

  #wake(): void {
    if (this.#stopped || this.#running !== undefined) return;
    this.#cancelSleep();
    this.#running = this.#fireDue().then((pauseMs) => {
      this.#running = undefined;
      this.#sleep(pauseMs);
    });
  }

  #sleep(atLeastMs: number): void {
    const next = this.#nextDueAt();
    if (this.#stopped || next === undefined) return;
    const delayMs = Math.min(LONGEST_SLEEP_MS, Math.max(atLeastMs, next - this.#runtime.now()));
    this.#cancelSleep = this.#runtime.after(delayMs, () => this.#wake());
  }

  /** When there is something to do next: also when the disk would not say. */
  #nextDueAt(): number | undefined {
    try {
      return this.#store.nextDueAt();
    } catch (error) {
      this.#log.warn({ err: error }, "deadlines wait: nothing can be read");
      return this.#runtime.now() + STORAGE_PAUSE_MS;
    }
  }

  /** @returns for how long not to try again, in milliseconds */
  async #fireDue(): Promise<number> {
    while (!this.#stopped && (this.#nextDueAt() ?? Number.POSITIVE_INFINITY) <= this.#runtime.now()) {
      const slice: { at?: TimerRow } = {};
      try {
        await this.#unitOfWork.run((transaction) => this.#fireSlice(slice, transaction));
      } catch (error) {
        try {
          await this.#postpone(slice.at, error);
        } catch (fault) {
          this.#log.warn({ err: fault }, "deadlines wait: nothing can be stored");
          return STORAGE_PAUSE_MS;
        }
      }
    }
    return 0;
  }

  /** @param slice told which deadline is being carried out, so that its failure can be put down to it */
  #fireSlice(slice: { at?: TimerRow }, transaction: Transaction): void {
    for (const row of this.#store.due(transaction.now, SLICE)) {
      slice.at = row;
      const { name, key, correlationId } = row;
      const handler = this.#handlers.get(name);
      if (handler === undefined) throw new TypeError(`nobody handles a timer named ${name}`);
      this.#store.remove(name, key);
      const cause = { correlationId, causationId: `timer:${name}:${key}` };
      handler.fire({ name, key, data: JSON.parse(row.data) }, transaction.causedBy(cause));
      if (transaction.overBudget()) return;
    }
  }

  /** Tries a deadline again later; what the others of its slice did was undone, and is done again at once. */
  async #postpone(row: TimerRow | undefined, error: unknown): Promise<void> {
    if (row === undefined || error instanceof StorageError) throw error;
    const attempts = row.attempts + 1;
    this.#log.error({ err: error, timer: row.name, key: row.key, attempts }, "a deadline failed");
    await this.#unitOfWork.run((transaction) => {
      const delayMs = backoffMs(BACKOFF, attempts, () => this.#runtime.random());
      const dueAt = attempts >= MAX_ATTEMPTS ? undefined : transaction.now + delayMs;
      this.#store.postpone(row, dueAt, String(error));
    });
  }
}
