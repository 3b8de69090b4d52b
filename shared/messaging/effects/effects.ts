import { faultsOf } from "../contract/define.ts";
import { ContractViolation } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import {
  byName,
  DomainError,
  errorText,
  isLogged,
  resultOfWork,
  StorageError,
  UsageError,
} from "../errors.ts";
import { limitsFor, MAX_CRASHES } from "../inbox/decision.ts";
import type { Cause } from "../outbox/outbox.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import { backoffMs, type Logger, type Runtime, STORAGE_PAUSE_MS } from "../runtime.ts";
import { fail, storedTrace, type Tracing, traceWithin, within } from "../tracing.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";
import type { Effect } from "./define.ts";

/** Effects that are performed at a time, of all kinds together. */
const CONCURRENCY = 16;
/** The input of an effect, as JSON. */
const MAX_INPUT_BYTES = 256 * 1024;
/** The longest sleep: a change of the system's clock is noticed within it. */
const LONGEST_SLEEP_MS = 30_000;
const MAX_ERROR_CHARACTERS = 2_000;

interface EffectRow {
  readonly id: number;
  readonly dueAt: number;
  readonly key: string;
  readonly name: string;
  readonly input: string;
  /** Tries that failed. */
  readonly attempts: number;
  /** Processes that ended during it, one after the other. */
  readonly crashes: number;
  /** How often an operator let it be tried again. */
  readonly retries: number;
  readonly correlationId: string;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/** What one try came to. */
type Outcome =
  | { readonly status: "completed"; readonly output: unknown }
  /** @param isLast whether no further try can succeed; `note` is appended to the text of the error */
  | { readonly status: "failed"; readonly error: unknown; readonly isLast?: boolean; readonly note?: string }
  /** The process stops: the try does not count. */
  | { readonly status: "interrupted" };

/**
 * Performs effects, outside of transactions and several at a time, in no particular order. Each is a row that was
 * written in the transaction that enqueued it. It is performed at least once: a process may end after `run` and before
 * the commit that removes the row. Its result is applied exactly once, by that commit.
 *
 * Each try is recorded before it begins, so that an effect that ends its process is not tried without end.
 */
export class Effects {
  /** Since the start of the process. */
  readonly totals = { completed: 0, retried: 0, failed: 0 };
  /** To be called when effects have become due. */
  wake: () => void = () => {};
  readonly #definitions: ReadonlyMap<string, Effect>;
  readonly #sql: ServiceDatabase["sql"];
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #statements;
  /** The faults of the storage, and the effects that fail. */
  readonly #waits: RepeatedFailure;
  readonly #tries: RepeatedFailure;
  readonly #running = new Map<
    string,
    { readonly name: string; readonly controller: AbortController; readonly ended: Promise<void> }
  >();
  readonly #tracing: Tracing | undefined;
  #filling: Promise<void> | undefined;
  /** Something became due while due effects were being started. */
  #woken = false;
  #cancelSleep: () => void = () => {};
  #stopped = false;

  /** @throws UsageError when two effects have one name */
  constructor(options: {
    readonly database: ServiceDatabase;
    readonly definitions: readonly Effect[];
    readonly runtime: Runtime;
    readonly log: Logger;
    readonly tracing: Tracing | undefined;
  }) {
    const { sql } = options.database;
    this.#tracing = options.tracing;
    this.#sql = sql;
    this.#definitions = byName("effects named", options.definitions, ({ name }) => name);
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#waits = new RepeatedFailure(options.runtime, options.log);
    this.#tries = new RepeatedFailure(options.runtime, options.log);
    this.#statements = {
      insert: sql.prepare(
        `INSERT INTO durable_effects (key, name, input, due_at, correlation_id, traceparent, tracestate, enqueued_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      ),
      // One step of the index for each name, however many effects there are.
      names: sql.prepare<{ name: string }, []>(
        `WITH RECURSIVE names (name) AS (
           SELECT min(name) FROM durable_effects
           UNION ALL SELECT (SELECT min(name) FROM durable_effects WHERE name > names.name) FROM names WHERE name IS NOT NULL
         ) SELECT name FROM names WHERE name IS NOT NULL`,
      ),
      due: sql.prepare<EffectRow, [string, number, number]>(
        `SELECT id, due_at AS dueAt, key, name, input, attempts, crashes, retries, correlation_id AS correlationId, traceparent, tracestate
         FROM durable_effects WHERE name = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?`,
      ),
      next: sql.prepare<{ due_at: number }, [number]>(
        "SELECT due_at FROM durable_effects WHERE due_at > ? ORDER BY due_at LIMIT 1",
      ),
      begin: sql.prepare("UPDATE durable_effects SET crashes = crashes + 1 WHERE key = ?"),
      interrupt: sql.prepare("UPDATE durable_effects SET crashes = 0 WHERE key = ?"),
      fail: sql.prepare(
        "UPDATE durable_effects SET due_at = ?, error = ?, attempts = ?, crashes = 0 WHERE key = ? AND attempts = ? AND retries = ?",
      ),
      remove: sql.prepare("DELETE FROM durable_effects WHERE key = ?"),
      counts: sql.prepare<{ pending: number; dead: number }, []>(
        "SELECT count(due_at) AS pending, count(*) - count(due_at) AS dead FROM durable_effects",
      ),
    };
  }

  /** Behind `Transaction.enqueue`. @throws UsageError for an unknown effect; ContractViolation for an invalid input */
  enqueue(
    effect: Pick<Effect, "name" | "input">,
    input: unknown,
    key: string,
    cause: Cause | undefined,
    nowMs: number,
  ): void {
    const { name } = effect;
    const definition = this.#definitions.get(name);
    if (definition === undefined || definition !== effect) {
      throw new UsageError(`there is no effect named ${name}`);
    }
    const { check } = definition;
    if (!check.Check(input)) throw new ContractViolation(`effect ${name}: ${faultsOf(check, input)}`);
    const json = JSON.stringify(input);
    if (Buffer.byteLength(json) > MAX_INPUT_BYTES) {
      throw new ContractViolation(`effect ${name}: its input is longer than ${MAX_INPUT_BYTES} bytes`);
    }
    const { correlationId = key, traceparent = null, tracestate = null } = cause ?? {};
    this.#statements.insert.run(key, name, json, nowMs, correlationId, traceparent, tracestate, nowMs);
  }

  /** Effects that are to be performed, and those that failed too often. */
  counts(): { readonly pending: number; readonly dead: number } {
    return this.#statements.counts.get() ?? { pending: 0, dead: 0 };
  }

  /** Performs effects, beginning with those that the last process left. */
  start(unitOfWork: UnitOfWork): void {
    this.wake = () => this.#wake(unitOfWork);
    unitOfWork.onEffect(() => this.wake());
    this.wake();
  }

  /** Aborts what is being performed, without counting the try. Resolves when nothing is performed any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSleep();
    await this.#filling;
    for (const { controller } of this.#running.values()) controller.abort(new Error("the process stops"));
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #wake(unitOfWork: UnitOfWork): void {
    this.#woken = true;
    if (this.#stopped || this.#filling !== undefined) return;
    this.#cancelSleep();
    this.#filling = this.#fill(unitOfWork).then((delayMs) => {
      this.#filling = undefined;
      if (this.#woken) this.#wake(unitOfWork);
      else if (!this.#stopped) this.#cancelSleep = this.#runtime.after(delayMs, () => this.#wake(unitOfWork));
    });
  }

  /** Starts due effects, as many as may run. @returns for how long to sleep, in milliseconds */
  async #fill(unitOfWork: UnitOfWork): Promise<number> {
    try {
      let now = this.#runtime.now();
      while (this.#woken && !this.#stopped) {
        this.#woken = false;
        now = this.#runtime.now();
        const rows = this.#due(now);
        this.#waits.over("", {}, "effects go on");
        if (rows.length === 0) continue;
        await unitOfWork.run(() => {
          for (const { key } of rows) this.#statements.begin.run(key);
        });
        for (const row of rows) this.#start(row, unitOfWork);
      }
      // Not a later time: what became due meanwhile would be slept through.
      const next = this.#statements.next.get(now)?.due_at ?? Number.POSITIVE_INFINITY;
      return Math.max(0, Math.min(LONGEST_SLEEP_MS, next - this.#runtime.now()));
    } catch (error) {
      // Otherwise the unit of work has said so.
      if (!isLogged(error)) this.#waits.failed("", error, {}, "effects wait: the disk fails");
      this.#woken = false;
      return STORAGE_PAUSE_MS;
    }
  }

  /** What is to be started: the effects that have been due for longest, within the concurrency of each kind and of all. */
  #due(now: number): EffectRow[] {
    const running = Map.groupBy(this.#running.values(), ({ name }) => name);
    const due = this.#statements.names.all().flatMap(({ name }) => {
      // One without a definition fails at once.
      const { concurrency = CONCURRENCY } = this.#definitions.get(name) ?? {};
      const free = concurrency - (running.get(name)?.length ?? 0);
      if (free <= 0) return [];
      const rows = this.#statements.due.all(name, now, concurrency);
      return rows.filter(({ key }) => !this.#running.has(key)).slice(0, free);
    });
    due.sort((one, other) => one.dueAt - other.dueAt || one.id - other.id);
    return due.slice(0, CONCURRENCY - this.#running.size);
  }

  #start(row: EffectRow, unitOfWork: UnitOfWork): void {
    const controller = new AbortController();
    if (this.#stopped) controller.abort();
    const ended = this.#perform(row, controller, unitOfWork)
      .catch((error: unknown) =>
        this.#log.error(
          { err: error, effect: row.name, key: row.key, correlationId: row.correlationId },
          "an effect was lost track of",
        ),
      )
      .finally(() => {
        this.#running.delete(row.key);
        this.#wake(unitOfWork);
      });
    this.#running.set(row.key, { name: row.name, controller, ended });
  }

  async #perform(row: EffectRow, controller: AbortController, unitOfWork: UnitOfWork): Promise<void> {
    const { key, name, retries, correlationId } = row;
    const trace = storedTrace(row);
    const span = this.#tracing?.internal(`perform ${name}`, trace, { "effect.key": key });
    let outcome = await within(span, () => this.#try(row, controller));
    if (outcome.status === "failed") fail(span, outcome.error);
    else span?.end();
    for (;;) {
      const current = outcome;
      const cause: Cause = {
        correlationId,
        causationId: key,
        // One that is dead may be completed after an operator's retry.
        idSeed: current.status === "failed" ? `${key} failed ${retries}` : key,
        ...traceWithin(span, trace),
      };
      try {
        await unitOfWork.run((transaction) => this.#settle(row, current, transaction), cause);
        this.#waits.over(key, { effect: name, key, correlationId }, "the result of an effect is stored");
        return;
      } catch (error) {
        if (error instanceof StorageError) {
          if (!isLogged(error)) {
            const fields = { effect: name, key, correlationId };
            this.#waits.failed(key, error, fields, "the result of an effect cannot be stored yet");
          }
          // The next process performs it again.
          if (this.#stopped) return;
          await new Promise<void>((resolve) => this.#runtime.after(STORAGE_PAUSE_MS, resolve));
        } else if (current.status === "completed") {
          outcome = { status: "failed", error };
        } else if (current.status === "failed" && current.note === undefined) {
          outcome = { ...current, isLast: true, note: `; its function for that failed: ${errorText(error)}` };
        } else throw error;
      }
    }
  }

  /** One try, whose end does not depend on whether `run` heeds its signal. */
  async #try(
    { key, name, input, attempts, crashes }: EffectRow,
    controller: AbortController,
  ): Promise<Outcome> {
    const { signal } = controller;
    const definition = this.#definitions.get(name);
    if (definition === undefined) return lastFailure(`there is no effect named ${name}`);
    const data: unknown = JSON.parse(input);
    const { check, timeoutMs } = definition;
    if (!check.Check(data)) return lastFailure(`its input is invalid: ${faultsOf(check, data)}`);
    if (crashes >= MAX_CRASHES) return lastFailure(`the process ended ${crashes} times during it`);
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason), { once: true });
    const cancelTimeout = this.#runtime.after(timeoutMs, () =>
      controller.abort(new Error(`it was not done within ${timeoutMs} ms`)),
    );
    try {
      if (signal.aborted) return { status: "interrupted" };
      const running = (async () =>
        definition.run(data, { idempotencyKey: key, signal, attempt: attempts + 1 }))();
      return { status: "completed", output: await Promise.race([running, aborted.promise]) };
    } catch (error) {
      return this.#stopped && signal.aborted ? { status: "interrupted" } : { status: "failed", error };
    } finally {
      cancelTimeout();
    }
  }

  /**
   * Stores an outcome. Of a replicated service it may be stored already: a commit that fails to be confirmed in time is in
   * the file.
   */
  #settle(row: EffectRow, outcome: Outcome, transaction: Transaction): void {
    const { key, name, correlationId } = row;
    const definition = this.#definitions.get(name);
    switch (outcome.status) {
      case "interrupted":
        this.#statements.interrupt.run(key);
        return;
      case "completed":
        if (this.#statements.remove.run(key).changes > 0) {
          resultOfWork(
            definition?.completed?.(outcome.output, JSON.parse(row.input), transaction),
            `the function for the result of effect ${name}`,
            this.#sql,
            this.#log,
          );
        }
        transaction.afterCommit(() => {
          this.totals.completed += 1;
          this.#log.debug({ effect: name, key, correlationId }, "an effect is completed");
          const fields = { effect: name, key, correlationId };
          this.#tries.over(name, fields, "effects that had failed are completed", key);
        });
        return;
      case "failed":
        this.#fail(row, outcome, definition, transaction);
        return;
      default:
        outcome satisfies never;
    }
  }

  #fail(
    { key, name, input, attempts, retries, correlationId }: EffectRow,
    { error, isLast, note = "" }: Extract<Outcome, { status: "failed" }>,
    definition: Effect | undefined,
    transaction: Transaction,
  ): void {
    const tries = attempts + 1;
    const text = (errorText(error) + note).slice(0, MAX_ERROR_CHARACTERS);
    const limits =
      isLast || neverSucceeds(error) || definition === undefined
        ? "park"
        : limitsFor(error, definition.retry);
    if (limits !== "park" && tries < limits.attempts) {
      const delayMs = backoffMs(limits.backoff, tries, () => this.#runtime.random());
      this.#statements.fail.run(transaction.now + delayMs, text, tries, key, attempts, retries);
      transaction.afterCommit(() => {
        this.totals.retried += 1;
        const fields = { effect: name, key, correlationId, tries, delayMs };
        this.#tries.failed(name, error, fields, "an effect failed, it is tried again", { member: key });
      });
      return;
    }
    const { changes } = this.#statements.fail.run(null, text, tries, key, attempts, retries);
    if (note === "" && changes > 0) {
      const result = definition?.failed?.(error, JSON.parse(input), transaction);
      resultOfWork(result, `the function for the failure of effect ${name}`, this.#sql, this.#log);
    }
    transaction.afterCommit(() => {
      this.totals.failed += 1;
      this.#tries.forget(name, key);
      this.#log.error(
        { err: error, effect: name, key, correlationId, tries },
        "an effect is dead: it waits for an operator",
      );
    });
  }
}

function lastFailure(text: string): Outcome {
  return { status: "failed", error: new UsageError(text), isLast: true };
}

function neverSucceeds(error: unknown): boolean {
  return error instanceof DomainError || error instanceof UsageError;
}
