import type { MessageDefinition } from "./contract/define.ts";
import { ContractViolation, type DataOf, encode, type Message, message } from "./contract/envelope.ts";
import type { Outbox } from "./outbox/outbox.ts";
import type { Runtime } from "./runtime.ts";
import type { Timer, TimerStore } from "./timers/timer-store.ts";
import type { OutgoingRecord } from "./transport/transport.ts";

/** What made this work necessary: carried into every message that it emits. */
export interface Cause {
  readonly correlationId: string;
  readonly causationId: string;
  readonly traceparent?: string;
}

/** What a piece of work may do. Valid only while the work runs. */
export interface Transaction {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /**
   * Emits a message: it is sent if, and only if, the transaction commits.
   *
   * @returns its id
   * @throws ContractViolation when the data breaks its schema, or another service is the definition's source
   */
  emit<Definition extends MessageDefinition>(definition: Definition, data: DataOf<Definition>): string;
  /** Sends a record as it is, without an envelope. */
  emitRaw(record: OutgoingRecord): void;
  /** Sets a deadline, in place of one of the same name and key: it comes if, and only if, this commits. */
  setTimer(timer: Timer): void;
  /** Forgets a deadline; one that is not there is no error. */
  cancelTimer(name: string, key: string): void;
  /** Called once the work is on disk, and not at all if it never is. */
  afterCommit(callback: () => void): void;
  /** The same transaction, with what it emits put down to another cause. */
  causedBy(cause: Cause): Transaction;
  /** Whether the group has taken long enough: a work of many steps stops here and goes on in the next one. */
  overBudget(): boolean;
}

/** How long a group may keep the event loop, and with it heartbeats and requests, waiting. */
const BUDGET_MS = 20;

/** What the works of one group share. */
export class TransactionGroup {
  readonly now: number;
  callbacks: (() => void)[] = [];
  emitted = false;
  timed = false;
  readonly #outbox: Outbox;
  readonly #timers: TimerStore;
  readonly #source: string;
  readonly #runtime: Runtime;
  readonly #startedMs: number;

  constructor(outbox: Outbox, timers: TimerStore, source: string, runtime: Runtime) {
    this.#outbox = outbox;
    this.#timers = timers;
    this.#source = source;
    this.#runtime = runtime;
    this.now = runtime.now();
    this.#startedMs = runtime.monotonic();
  }

  /** @throws whatever the work throws; TypeError when it returned a promise */
  run(work: (transaction: Transaction) => unknown, cause: Cause | undefined): unknown {
    const result = work(this.#transaction(cause));
    if (result instanceof Promise) {
      throw new TypeError("work in a transaction must be synchronous: it returned a promise");
    }
    return result;
  }

  mark(): number {
    return this.callbacks.length;
  }

  reset(mark = 0): void {
    this.callbacks.length = mark;
  }

  overBudget(): boolean {
    return this.#runtime.monotonic() - this.#startedMs >= BUDGET_MS;
  }

  #transaction(cause: Cause | undefined): Transaction {
    return {
      now: this.now,
      emit: (definition, data) => this.#emit(definition, data, cause),
      emitRaw: (record) => {
        this.#outbox.enqueue(record, this.now);
        this.emitted = true;
      },
      setTimer: (timer) => {
        this.#timers.set(timer, cause?.correlationId ?? this.#runtime.newId());
        this.timed = true;
      },
      cancelTimer: (name, key) => this.#timers.remove(name, key),
      afterCommit: (callback) => {
        this.callbacks.push(callback);
      },
      causedBy: (other) => this.#transaction(other),
      overBudget: () => this.overBudget(),
    };
  }

  #emit(definition: MessageDefinition, data: unknown, cause: Cause | undefined): string {
    if (definition.source !== this.#source) {
      throw new ContractViolation(
        `${definition.type}: ${definition.source} may send it, ${this.#source} may not`,
      );
    }
    const id = this.#runtime.newId();
    const envelope: Message = message(definition, data, {
      id,
      source: this.#source,
      time: new Date(this.now).toISOString(),
      correlationid: cause?.correlationId ?? id,
      causationid: cause?.causationId ?? id,
      ...(cause?.traceparent === undefined ? {} : { traceparent: cause.traceparent }),
    });
    this.#outbox.enqueue(encode(definition, envelope), this.now);
    this.emitted = true;
    return id;
  }
}
