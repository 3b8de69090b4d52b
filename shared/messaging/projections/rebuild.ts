import { decode } from "../contract/decode.ts";
import { byType, type MessageDefinition } from "../contract/define.ts";
import type { ServiceDatabase } from "../database.ts";
import { DomainError } from "../errors.ts";
import type { Handler } from "../inbox/handlers.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { Transaction } from "../transaction.ts";
import {
  type Batch,
  type IncomingRecord,
  type Progress,
  type Subscriber,
  type Subscription,
  topicPartition,
} from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import { type RebuildStatus, RebuildStore } from "./rebuild-store.ts";

export { type RebuildPhase, type RebuildStatus, rebuildMigration } from "./rebuild-store.ts";

export interface RebuildOptions {
  readonly service: string;
  /** With `rebuildMigration` in its schema. */
  readonly database: ServiceDatabase;
  readonly unitOfWork: UnitOfWork;
  readonly subscriber: Subscriber;
  readonly definitions: readonly MessageDefinition[];
  /**
   * Those that keep the copies. Each of them may see a message again, and messages in another order than before;
   * whatever it writes bears the current generation. They emit nothing and set no deadline.
   */
  readonly handlers: readonly Handler[];
  /** The tables of the copies, each with a rowid and a column `generation`. */
  readonly tables: readonly string[];
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Without progress for so long, though the broker is there, a rebuild is given up. */
  readonly stallMs?: number;
}

const STALL_MS = 60_000;
const CHECK_EVERY_MS = 200;
/** Rows that are looked at in one unit of work. */
const CHECKED_ROWS = 500;

/**
 * Makes a service's copies anew out of the topics that they were made from, while the service goes on.
 *
 * All rows stay where they are and are read as ever: at no time is there less than before. The topics are read from
 * their beginnings by the handlers that keep the copies, past the inbox, and what they write bears a new generation,
 * as does what the service's usual work writes meanwhile. When everything has been read that had been handled at the
 * start, the rows that nothing wrote again are those that no message accounts for. They are counted, and dropped only
 * if that was asked for: it may be the topics that have lost something. Each step is a transaction and knows where it
 * stands: a process that dies goes on where it was.
 */
export class Rebuild {
  readonly #options: RebuildOptions;
  readonly #store: RebuildStore;
  readonly #known: ReadonlyMap<string, MessageDefinition>;
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #topics: readonly string[];
  #subscription: Subscription | undefined;
  #cancelCheck: () => void = () => {};
  #progressAtMs = 0;
  #ending: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RebuildOptions) {
    this.#options = options;
    this.#store = new RebuildStore(options.database);
    this.#known = byType(options.definitions);
    this.#handlers = new Map(options.handlers.map((handler) => [handler.definition.type, handler]));
    this.#topics = [...new Set(options.handlers.map(({ definition }) => definition.topic.name))];
  }

  status(): RebuildStatus {
    return this.#store.status();
  }

  /**
   * Begins, unless one is under way.
   *
   * @param dropUnaccounted whether rows that no message accounts for are dropped in the end
   * @returns whether it did
   */
  async begin(dropUnaccounted: boolean): Promise<boolean> {
    const began = await this.#options.unitOfWork.run((transaction) => {
      if (isUnderWay(this.#store.status())) return false;
      this.#store.begin(this.#topics, dropUnaccounted, transaction.now);
      return true;
    });
    if (began) this.resume();
    return began;
  }

  /** Goes on with what was begun, by the last process too, if anything was. A disk that refuses to say is asked again. */
  resume(): void {
    if (this.#stopped) return;
    const { runtime, log } = this.#options;
    try {
      this.#goOn();
    } catch (error) {
      log.warn({ err: error }, "whether a rebuild is under way cannot be read, it is looked at again");
      this.#cancelCheck = runtime.after(CHECK_EVERY_MS, () => this.resume());
    }
  }

  /** @throws what the disk throws; nothing has been begun then */
  #goOn(): void {
    const status = this.#store.status();
    if (!isUnderWay(status)) return;
    const { service, subscriber, runtime, log } = this.#options;
    this.#progressAtMs = runtime.monotonic();
    if (status.phase === "reading") {
      log.info({ ...status }, "reading the topics again");
      this.#subscription = subscriber.subscribe({
        group: `${service}.rebuild`,
        topics: this.#topics,
        startAt: (topic, partition) => this.#store.position(topic, partition)?.next,
        handle: (batch) => this.#read(batch),
      });
    }
    this.#check();
  }

  /** Resolves when nothing of it runs any more; the next process goes on with it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelCheck();
    await this.#subscription?.stop();
    await this.#ending;
    this.#store.close();
  }

  async #read(batch: Batch): Promise<Progress> {
    const { topic, partition, records } = batch;
    const end = (records.at(-1) as IncomingRecord).offset + 1;
    let left = records;
    while (left.length > 0 && !this.#stopped) {
      const position = this.#store.position(topic, partition);
      if (position === undefined || position.next >= position.target) break;
      if (batch.end < position.target) {
        await this.#fail(
          `${topicPartition(topic, partition)} ends at ${batch.end}, ${position.target} had been handled`,
        );
        break;
      }
      const slice = left;
      const taken = await this.#options.unitOfWork.run((transaction) =>
        this.#take(slice, position.target, transaction),
      );
      left = left.slice(taken);
      this.#progressAtMs = this.#options.runtime.monotonic();
    }
    return { next: end };
  }

  /** Handles records again until the budget is used up. @returns how many */
  #take(records: readonly IncomingRecord[], target: number, transaction: Transaction): number {
    let taken = 0;
    let skipped = 0;
    let next = 0;
    for (const record of records) {
      if (taken > 0 && transaction.overBudget()) break;
      taken += 1;
      next = Math.min(record.offset + 1, target);
      if (record.offset >= target) break;
      if (!this.#handle(record, transaction)) skipped += 1;
    }
    const { topic, partition } = records[0] as IncomingRecord;
    this.#store.pass(topic, partition, next, skipped);
    return taken;
  }

  /** @returns whether it could be */
  #handle(record: IncomingRecord, transaction: Transaction): boolean {
    const decoded = decode(this.#known, record.value);
    if (decoded.status === "rejected") return false;
    const handler = this.#handlers.get(decoded.message.type);
    try {
      handler?.handle(decoded.message, silent(transaction));
      return true;
    } catch (error) {
      if (error instanceof DomainError) return false;
      throw error;
    }
  }

  /** Looks now and then whether everything has been read. A disk that refuses to say is asked again. */
  #check(): void {
    if (this.#stopped) return;
    try {
      this.#look();
    } catch (error) {
      this.#checkLater(error);
    }
  }

  /** Does the rest once everything has been read. @throws what the disk throws */
  #look(): void {
    const { runtime, stallMs = STALL_MS } = this.#options;
    const { phase, read, toRead } = this.#store.status();
    if (phase === "checking" || (phase === "reading" && read >= toRead)) {
      this.#ending = this.#finish().catch((error: unknown) => this.#checkLater(error));
      return;
    }
    if (phase !== "reading") return;
    const stalled = runtime.monotonic() - this.#progressAtMs > stallMs;
    if (stalled && this.#subscription?.healthy() === true) {
      const reason = "the topics no longer hold what the copy was made from";
      this.#ending = this.#fail(reason).catch((error: unknown) => this.#checkLater(error));
      return;
    }
    this.#checkLater();
  }

  #checkLater(error?: unknown): void {
    const { runtime, log } = this.#options;
    if (error !== undefined) log.warn({ err: error }, "a step of the rebuild failed, it is tried again");
    this.#cancelCheck = runtime.after(CHECK_EVERY_MS, () => this.#check());
  }

  async #finish(): Promise<void> {
    const { unitOfWork, tables, log } = this.#options;
    await this.#endReading();
    await unitOfWork.run(() => this.#store.beginCheck());
    let unaccounted = 0;
    for (const table of tables) {
      for (let after: number | undefined = 0; after !== undefined && !this.#stopped; ) {
        const from: number = after;
        const slice = await unitOfWork.run(() => this.#store.check(table, from, CHECKED_ROWS));
        unaccounted += slice.unaccounted;
        after = slice.next;
      }
    }
    if (this.#stopped) return;
    await unitOfWork.run((transaction) => this.#store.end("done", transaction.now, null, unaccounted));
    log.info({ ...this.status() }, "the copies are made anew");
  }

  async #fail(reason: string): Promise<void> {
    const { unitOfWork, log, runtime } = this.#options;
    log.error({ reason }, "the copies are not made anew; they stay as they were");
    await unitOfWork.run((transaction) => this.#store.end("failed", transaction.now, reason, 0));
    // Not from within the subscription's own handler, which its end waits for.
    runtime.soon(() => void this.#endReading());
  }

  async #endReading(): Promise<void> {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    await subscription?.stop();
  }
}

function isUnderWay({ phase }: RebuildStatus): boolean {
  return phase === "reading" || phase === "checking";
}

/** What a handler may do a second time: nobody is told of anything twice. */
function silent(transaction: Transaction): Transaction {
  const refuse = (): never => {
    throw new TypeError("a handler that keeps a copy neither emits anything nor sets deadlines");
  };
  return {
    now: transaction.now,
    emit: refuse,
    emitRaw: refuse,
    setTimer: refuse,
    cancelTimer: refuse,
    afterCommit: (callback) => transaction.afterCommit(callback),
    causedBy: () => silent(transaction),
    overBudget: () => transaction.overBudget(),
  };
}
