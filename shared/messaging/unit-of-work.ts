import type { Static, TSchema } from "@sinclair/typebox";
import type { MessageDefinition } from "./contract/define.ts";
import type { DataOf } from "./contract/envelope.ts";
import { isStorageFault, type ServiceDatabase } from "./database.ts";
import { errorText, isThenable, type NotOwner, resultOfWork, StorageError, UsageError } from "./errors.ts";
import type { Observed } from "./observer.ts";
import { derivedId } from "./outbox/message-id.ts";
import type { Cause, Outbox } from "./outbox/outbox.ts";
import type { Logger, Runtime } from "./runtime.ts";
import { StorageState } from "./storage-state.ts";
import { fail, type Tracing } from "./tracing.ts";
import type { OutgoingRecord } from "./transport/transport.ts";

/*
 * Everything that a service writes, for a request or for a message, it writes in a unit of work: a synchronous
 * function that is queued to the one writer of the database and gets a `Transaction`. What it wrote, what it emitted
 * and, for a message, that it was handled (claim and offset) commit together.
 *
 * The convention: a method that writes is called inside a unit of work only, and takes the `Transaction`, as its last
 * parameter, if and only if it uses it. The simulation reports every write outside of a transaction.
 */

/** A timer that is being set. */
export interface Timer {
  /** Which `TimerHandler` fires it, `backorder-expiry`. */
  readonly name: string;
  /** What it belongs to. There is at most one timer for each name and key. */
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly dueAt: number;
  /** Any JSON value. */
  readonly data?: unknown;
}

/** What a piece of work can do. After the work has ended, every method throws UsageError. */
export interface Transaction {
  /** Milliseconds since the epoch; the same for all work of one commit. */
  readonly now: number;
  /**
   * Emits a message: it is sent if, and only if, the transaction commits.
   *
   * @returns its id
   * @throws ContractViolation when readers would refuse the message, because the data breaks its schema, the key is empty
   *   or too long, or the message is too large; and when another service is the definition's source;
   *   UsageError when the transport was not given its topic
   */
  emit<Definition extends MessageDefinition>(definition: Definition, data: DataOf<Definition>): string;
  /**
   * The same for a message with the whole state of something: of those of one key that are emitted so within one commit,
   * which other work may share, only the last one is sent. Another message of the key is sent after those that were
   * emitted before it. What is sent depends on what commits together, so the state needs a version by which readers
   * ignore an older one.
   *
   * @returns its id; it is not sent if another state follows
   * @throws as `emit` does
   */
  emitLatest<Definition extends MessageDefinition>(definition: Definition, data: DataOf<Definition>): string;
  /** Sends a record as it is, without an envelope, if the transaction commits. */
  emitRaw(record: OutgoingRecord): void;
  /**
   * Sets a timer if the transaction commits. It replaces one of the same name and key.
   *
   * @throws UsageError when the service has no handler of that name, or `dueAt` is no whole number
   */
  setTimer(timer: Timer): void;
  /** Removes a timer. No error if there is none. */
  cancelTimer(name: string, key: string): void;
  /**
   * Enqueues a side effect on another system: it is performed after the commit, if, and only if, the transaction
   * commits.
   *
   * @returns its idempotency key
   * @throws ContractViolation when the input breaks its schema; UsageError when the effect is none of the service's
   */
  enqueue<Input extends TSchema>(effect: EffectKind<Input>, input: Static<Input>): string;
  /**
   * Calls back once the transaction is on disk, or in the change log of a replicated service; not if it is rolled back or
   * the process ends before. What the callback throws is logged.
   */
  afterCommit(callback: () => void): void;
  /** The same transaction; what it emits is attributed to another cause. */
  causedBy(cause: Cause): Transaction;
  /** Whether the group has used up its time: work of many steps stops here and goes on in the next group. */
  overBudget(): boolean;
}

/**
 * A piece of work. Synchronous: an awaited write would come after the commit. It may run more than once, when other
 * work of its group fails, so its only effects are on the database and the outbox.
 */
export type Work<T> = (transaction: Transaction) => Synchronous<T>;

/** Any type but that of a promise. */
export type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/** Where transactions store timers. */
interface TimerTable {
  set(timer: Timer, id: string, cause: Cause | undefined): void;
  remove(name: string, key: string): void;
}

/** The kind of an effect, as `defineEffect` returns it. */
interface EffectKind<Input extends TSchema> {
  readonly name: string;
  /** The schema of what it is given. */
  readonly input: Input;
}

/** Where transactions store effects. */
interface EffectTable {
  enqueue(
    effect: EffectKind<TSchema>,
    input: unknown,
    key: string,
    cause: Cause | undefined,
    nowMs: number,
  ): void;
}

interface UnitOfWorkOptions {
  readonly database: ServiceDatabase;
  readonly outbox: Outbox;
  readonly timers: TimerTable;
  readonly effects: EffectTable;
  readonly observed: Observed;
  readonly runtime: Runtime;
  readonly log: Logger;
  readonly tracing: Tracing | undefined;
  /** Whether records can be sent to a topic. */
  hasTopic(name: string): boolean;
  /** Asked before each group: whether it waits, because it is not known whether this process is still the service. */
  isHeld(): boolean;
}

interface Entry {
  readonly work: (transaction: Transaction) => unknown;
  readonly cause: Cause | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** How long a group may run: heartbeats and requests wait meanwhile. */
const BUDGET_MS = 20;
/** How long deferred work waits for a group. */
const DEFER_MS = 100;
/** How soon a group that waits is tried again. */
const HELD_MS = 20;

/**
 * The one writer of a database, with group commit: all work that is queued runs in one `BEGIN IMMEDIATE … COMMIT`,
 * one fsync for all, and each caller is answered after the commit. There is no timer: a group is what arrived while
 * the last one was written, cut after 20 ms.
 *
 * Work that throws is rolled back alone: the group runs again with a savepoint for each entry. That is rare, so the
 * usual group has no savepoints.
 */
export class UnitOfWork {
  /** Whether something can be stored. */
  readonly storage: StorageState;
  readonly #options: UnitOfWorkOptions;
  readonly #emitListeners: (() => void)[] = [];
  readonly #timerListeners: (() => void)[] = [];
  readonly #effectListeners: (() => void)[] = [];
  readonly #commitListeners: (() => void)[] = [];
  #queue: Entry[] = [];
  #scheduled = false;
  /** Cancels the time after which deferred work gets a group of its own. */
  #cancelDeferral: (() => void) | undefined;
  #closed = false;
  #refused: NotOwner | undefined;

  constructor(options: UnitOfWorkOptions) {
    this.#options = options;
    this.storage = new StorageState(options);
  }

  /**
   * Runs work in a transaction and resolves to its result once that is on disk; of a replicated service, once its change
   * log has it, and so no loss of this machine takes it back.
   *
   * @param cause what emitted messages are attributed to; without one, each of them begins a correlation of its own
   * @throws what the work throws, rolled back; StorageError when the disk fails: nothing of the group took effect;
   *   NotOwner when the process is not the service. Of a replicated service it is not known, after these two, whether
   *   the work took effect
   */
  run<T>(work: Work<T>, cause?: Cause): Promise<T> {
    if (this.#closed) return Promise.reject(new StorageError("the database is closed"));
    if (this.#refused !== undefined) return Promise.reject(this.#refused);
    const result = this.#enqueue(work, cause);
    this.#schedule();
    const span = cause && this.#options.tracing?.unitOfWork(cause);
    if (span !== undefined) {
      result.then(
        () => span.end(),
        (error: unknown) => fail(span, error),
      );
    }
    return result;
  }

  /**
   * Like `run`, for work that nobody waits for: it commits with the next group, so that it costs no fsync of its own, or
   * alone when there is none within 100 ms.
   */
  defer<T>(work: Work<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new StorageError("the database is closed"));
    if (this.#refused !== undefined) return Promise.reject(this.#refused);
    this.#cancelDeferral ??= this.#options.runtime.after(DEFER_MS, () => this.#schedule());
    return this.#enqueue(work, undefined);
  }

  #enqueue<T>(work: Work<T>, cause: Cause | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, cause, resolve: (value) => resolve(value as T), reject });
    });
  }

  /** Called after each commit. */
  onCommit(listener: () => void): void {
    this.#commitListeners.push(listener);
  }

  /** Called after each commit that emitted something. */
  onEmit(listener: () => void): void {
    this.#emitListeners.push(listener);
  }

  /** Called after each commit that set a timer. */
  onTimer(listener: () => void): void {
    this.#timerListeners.push(listener);
  }

  /** Called after each commit that enqueued an effect. */
  onEffect(listener: () => void): void {
    this.#effectListeners.push(listener);
  }

  /** Rejects all work, also what is queued. */
  refuse(reason: NotOwner): void {
    this.#refused = reason;
    for (const entry of this.#queue) entry.reject(reason);
    this.#queue = [];
  }

  /** Runs what is queued, then rejects all further work. */
  close(): void {
    while (this.#queue.length > 0) this.#flush();
    this.#closed = true;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.runtime.soon(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      if (this.#options.isHeld()) this.#options.runtime.after(HELD_MS, () => this.#schedule());
      else this.#flush();
    });
  }

  #flush(): void {
    this.#cancelDeferral?.();
    this.#cancelDeferral = undefined;
    const entries = this.#queue;
    this.#queue = [];
    const group = new Group(this.#options);
    let outcomes: Outcome[];
    try {
      outcomes = this.#commit(entries, group);
    } catch (error) {
      this.#rollback();
      this.#options.observed.observer.commitFailed();
      if (isStorageFault(error)) this.storage.failed(error);
      const reason = isStorageFault(error) ? new StorageError(errorText(error), { cause: error }) : error;
      for (const entry of entries) entry.reject(reason);
      return;
    }
    this.#options.observed.observer.committed(outcomes.length, group.elapsedMs() / 1000);
    const left = entries.slice(outcomes.length);
    if (left.length > 0) {
      this.#queue = [...left, ...this.#queue];
      this.#schedule();
    }
    if (this.storage.fails) this.#call(() => this.storage.committed());
    const { database, outbox } = this.#options;
    if (database.replication === undefined) {
      this.#answer(entries, outcomes, group);
      return;
    }
    database.replication.committed((error) => {
      if (error === undefined) {
        outbox.confirmed(group.emittedUpTo);
        this.#answer(entries, outcomes, group);
      } else for (const entry of entries.slice(0, outcomes.length)) entry.reject(error);
    });
  }

  /** Tells everybody what was committed. */
  #answer(entries: readonly Entry[], outcomes: readonly Outcome[], group: Group): void {
    for (const [index, outcome] of outcomes.entries()) {
      if ("error" in outcome) entries[index]?.reject(outcome.error);
      else entries[index]?.resolve(outcome.value);
    }
    for (const callback of group.callbacks) this.#call(callback);
    for (const listener of this.#commitListeners) this.#call(listener);
    if (group.emitted) for (const listener of this.#emitListeners) this.#call(listener);
    if (group.timersSet) for (const listener of this.#timerListeners) this.#call(listener);
    if (group.effectsEnqueued) for (const listener of this.#effectListeners) this.#call(listener);
  }

  /** Calls back after a commit: what one callback throws neither escapes nor keeps the others from being called. */
  #call(callback: () => unknown): void {
    const failed = (error: unknown) =>
      this.#options.log.error({ err: error }, "a callback after a commit failed");
    try {
      const result = callback();
      if (isThenable(result)) result.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  /** @returns the outcomes of the entries that ran, from the front; the others belong to the next group */
  #commit(entries: readonly Entry[], group: Group): Outcome[] {
    const { sql } = this.#options.database;
    sql.run("BEGIN IMMEDIATE");
    const outcomes: Outcome[] = [];
    try {
      for (const entry of entries) {
        if (outcomes.length > 0 && group.overBudget()) break;
        outcomes.push({ value: group.run(entry) });
      }
      group.addStates();
    } catch (error) {
      if (isStorageFault(error)) throw error;
      this.#rollback();
      group.forget();
      return this.#commitWithSavepoints(entries.slice(0, outcomes.length + 1), group);
    }
    this.#end(group);
    return outcomes;
  }

  #commitWithSavepoints(entries: readonly Entry[], group: Group): Outcome[] {
    const { sql } = this.#options.database;
    sql.run("BEGIN IMMEDIATE");
    const outcomes: Outcome[] = [];
    for (const [index, entry] of entries.entries()) {
      const callbacks = group.callbacks.length;
      sql.run("SAVEPOINT work");
      try {
        const value = group.run(entry);
        group.addStates();
        sql.run("RELEASE work");
        outcomes.push({ value });
      } catch (error) {
        if (isStorageFault(error)) throw error;
        group.forget(callbacks);
        if (!sql.inTransaction) {
          // What ran before it runs again without it, because it was rolled back too (what a COMMIT stored stays). What
          // is after it runs in the next group.
          group.forget();
          return [...this.#commitWithSavepoints(entries.slice(0, index), group), { error }];
        }
        sql.run("ROLLBACK TO work");
        sql.run("RELEASE work");
        outcomes.push({ error });
      }
    }
    this.#end(group);
    return outcomes;
  }

  #end(group: Group): void {
    const { database, outbox } = this.#options;
    const { sql, replication } = database;
    // Here a read that fails fails the group, and nothing that is committed.
    group.emittedUpTo = replication === undefined ? 0 : outbox.last();
    replication?.store();
    sql.run("COMMIT");
  }

  /** After some faults SQLite has rolled the transaction back by itself. One that fails is repeated with the next group. */
  #rollback(): void {
    const { database, log } = this.#options;
    try {
      if (database.sql.inTransaction) database.sql.run("ROLLBACK");
    } catch (error) {
      log.error({ err: error }, "a transaction could not be rolled back");
    }
  }
}

/** What the transactions of one commit share. */
class Group {
  readonly callbacks: (() => void)[] = [];
  /** Whether something was emitted, or a timer set. Also if it was rolled back: the relay or the timers then wake for nothing. */
  emitted = false;
  timersSet = false;
  effectsEnqueued = false;
  /** Of a replicated service: the last record in the outbox at the commit. */
  emittedUpTo = 0;
  /** By topic and key, the last state that is still to be added to the outbox, in the order of emission. */
  readonly #states = new Map<string, OutgoingRecord>();
  readonly #options: UnitOfWorkOptions;
  readonly #now: number;
  readonly #startedMs: number;

  constructor(options: UnitOfWorkOptions) {
    this.#options = options;
    this.#now = options.runtime.now();
    this.#startedMs = options.runtime.monotonic();
  }

  /** @throws what the work throws; UsageError when it returned a promise, or ended the transaction */
  run({ work, cause }: Entry): unknown {
    const { database, log } = this.#options;
    const scope: Scope = { ended: false, outputs: undefined };
    try {
      const result = work(this.#transaction(cause, scope));
      return resultOfWork(result, "work in a transaction", database.sql, log);
    } finally {
      scope.ended = true;
    }
  }

  /** Adds the last state of each key to the outbox. @throws StorageError when no more records may be parked */
  addStates(): void {
    for (const state of this.#states.values()) this.#options.outbox.enqueue(state, this.#now);
    this.#states.clear();
  }

  /** After a rollback. @param callbacks how many were there before what was rolled back */
  forget(callbacks = 0): void {
    this.callbacks.length = callbacks;
    this.#states.clear();
  }

  overBudget(): boolean {
    return this.elapsedMs() >= BUDGET_MS;
  }

  elapsedMs(): number {
    return this.#options.runtime.monotonic() - this.#startedMs;
  }

  /** Adds a record to the outbox, after the state of its key. */
  #add(record: OutgoingRecord): void {
    const { outbox } = this.#options;
    const place = placeOf(record);
    const state = this.#states.get(place);
    if (state !== undefined) {
      this.#states.delete(place);
      outbox.enqueue(state, this.#now);
    }
    outbox.enqueue(record, this.#now);
  }

  /** A record for another topic could never be sent, and the later ones would wait for it. */
  #assertTopic(name: string): void {
    if (!this.#options.hasTopic(name)) throw new UsageError(`the transport was not given the topic ${name}`);
  }

  #transaction(cause: Cause | undefined, scope: Scope): Transaction {
    const { outbox, timers, effects } = this.#options;
    return {
      now: this.#now,
      emit: (definition, data) => {
        this.#beginMessage(definition.topic.name, scope);
        const id = this.#newId(cause, scope);
        this.#add(outbox.encode(definition, data, id, cause, this.#now));
        return id;
      },
      emitLatest: (definition, data) => {
        this.#beginMessage(definition.topic.name, scope);
        const id = this.#newId(cause, scope);
        const state = outbox.encode(definition, data, id, cause, this.#now);
        const place = placeOf(state);
        this.#states.delete(place);
        this.#states.set(place, state);
        return id;
      },
      emitRaw: (record) => {
        this.#beginMessage(record.topic, scope);
        this.#add(record);
      },
      setTimer: (timer) => {
        assertOpen(scope);
        this.timersSet = true;
        const id = this.#newId(cause, scope);
        timers.set(timer, id, cause);
      },
      cancelTimer: (name, key) => {
        assertOpen(scope);
        timers.remove(name, key);
      },
      enqueue: (effect, input) => {
        assertOpen(scope);
        this.effectsEnqueued = true;
        const key = this.#newId(cause, scope);
        effects.enqueue(effect, input, key, cause, this.#now);
        return key;
      },
      afterCommit: (callback) => {
        assertOpen(scope);
        this.callbacks.push(callback);
      },
      causedBy: (other) => this.#transaction(other, scope),
      overBudget: () => this.overBudget(),
    };
  }

  #beginMessage(topic: string, scope: Scope): void {
    assertOpen(scope);
    this.#assertTopic(topic);
    this.emitted = true;
  }

  /** The id of the next output of a cause. */
  #newId(cause: Cause | undefined, scope: Scope): string {
    const { outbox, runtime } = this.#options;
    const seed = cause?.idSeed;
    if (seed === undefined) return runtime.newId();
    scope.outputs ??= new Map();
    const position = scope.outputs.get(seed) ?? 0;
    scope.outputs.set(seed, position + 1);
    return derivedId(seed, outbox.source, position);
  }
}

/** Of whatever has the same, the order counts. */
function placeOf({ topic, key }: OutgoingRecord): string {
  return `${topic}\n${key}`;
}

/** The time in which a transaction may be used: that of its work. */
interface Scope {
  ended: boolean;
  /** How much has been emitted or set for each cause that has a seed. */
  outputs: Map<string, number> | undefined;
}

function assertOpen({ ended }: Scope): void {
  if (ended) {
    throw new UsageError(
      "the transaction has ended: its work must be synchronous, and keep no reference to it",
    );
  }
}
