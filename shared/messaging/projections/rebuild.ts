import type { SQLQueryBindings } from "bun:sqlite";
import { decode } from "../contract/decode.ts";
import { byType, type MessageDefinition } from "../contract/define.ts";
import type { Migration, ServiceDatabase } from "../database.ts";
import { DomainError, errorText, isLogged, resultOfWork, UsageError } from "../errors.ts";
import type { Handler } from "../inbox/inbox.ts";
import { groupOf } from "../instance.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import {
  type Batch,
  type IncomingRecord,
  type Progress,
  type Subscriber,
  type Subscription,
  topicPartition,
  type UndecodableBatch,
} from "../transport/transport.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";

/** For the schema of a service that can rebuild its projections, before the tables of the projections. */
export const rebuildMigration: Migration = {
  name: "rebuild",
  sql: `
    -- Every row of a copy bears the generation in which it was written last. What is written now bears this one.
    CREATE TABLE rebuild (
      singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
      generation INTEGER NOT NULL,
      phase TEXT NOT NULL CHECK (phase IN ('none', 'reading', 'checking', 'done', 'failed')),
      drop_unaccounted INTEGER NOT NULL DEFAULT 0,
      started_at INTEGER,
      ended_at INTEGER,
      error TEXT,
      skipped INTEGER NOT NULL DEFAULT 0,
      unaccounted INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO rebuild (singleton, generation, phase) VALUES (1, 1, 'none');

    -- How far each partition has been read again, and how far it is to be: as far as it had been handled when the
    -- rebuild began. What comes after that is written by the service's usual work.
    CREATE TABLE rebuild_positions (
      topic TEXT NOT NULL,
      partition INTEGER NOT NULL,
      next_offset INTEGER NOT NULL,
      target INTEGER NOT NULL,
      PRIMARY KEY (topic, partition)
    ) STRICT, WITHOUT ROWID;
  `,
};

type RebuildPhase = "none" | "reading" | "checking" | "done" | "failed";

/** The state of a rebuild, or of the last one. */
export interface RebuildStatus {
  readonly phase: RebuildPhase;
  /** Milliseconds since the epoch, as is `endedAt`. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly error: string | null;
  /** Messages that could not be decoded or handled, and were left out. */
  readonly skipped: number;
  /** Rows that no message has written again. */
  readonly unaccounted: number;
  /** Offsets that have been read, of those that are to be. */
  readonly read: number;
  readonly toRead: number;
}

export interface RebuildOptions {
  readonly service: string;
  /** As in the options of the kit. */
  readonly instance?: string;
  /** With `rebuildMigration` in its schema. */
  readonly database: ServiceDatabase;
  readonly unitOfWork: UnitOfWork;
  readonly subscriber: Subscriber;
  readonly definitions: readonly MessageDefinition[];
  /**
   * The handlers that write the projections. Each may get a message again, and in another order than before; each row
   * that it writes has the current generation. They emit nothing and set no timers.
   */
  readonly handlers: readonly Handler[];
  /** The tables of the projections, each with a column `generation`. */
  readonly tables: readonly string[];
  readonly runtime: Runtime;
  readonly log: Logger;
}

/** Without progress for so long, although the broker answers, a rebuild fails. */
const STALL_MS = 60_000;
const CHECK_EVERY_MS = 200;
/** Rows that one unit of work checks. */
const CHECKED_ROWS = 500;
const MAX_ERROR_CHARACTERS = 500;

/** The consumer group in which the rebuilds of a service, or of an instance of it, read. */
export function rebuildGroup(service: string, instance?: string): string {
  return `${groupOf(service, instance)}.rebuild`;
}

/**
 * Rebuilds the projections of a service from the topics that they were made from, in place, while the service runs.
 *
 * The topics are read from their beginnings by the handlers of the projections, past the inbox. What they write has a
 * new generation, as does what the usual work of the service writes meanwhile; no row is missing at any time. When
 * everything has been read that had been handled at the start, the rows of an older generation are those that no
 * message accounts for. They are counted, and deleted only on request, because it may be the topics that have lost
 * something. Each step is a transaction, so the next process continues a rebuild.
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
  /** Why the last step failed, if it did. */
  #fault: string | undefined;
  #ending: Promise<void> | undefined;
  readonly #failing: RepeatedFailure;
  #stopped = false;

  constructor(options: RebuildOptions) {
    this.#options = options;
    this.#failing = new RepeatedFailure(options.runtime, options.log);
    this.#store = new RebuildStore(options.database);
    this.#known = byType(options.definitions);
    this.#handlers = new Map(options.handlers.map((handler) => [handler.definition.type, handler]));
    this.#topics = [...new Set(options.handlers.map(({ definition }) => definition.topic.name))];
  }

  status(): RebuildStatus {
    return this.#store.status();
  }

  /**
   * Begins a rebuild, unless one is running.
   *
   * @param dropUnaccounted whether rows that no message accounts for are deleted in the end
   * @returns whether it did
   */
  async begin(dropUnaccounted: boolean): Promise<boolean> {
    const began = await this.#options.unitOfWork.run((transaction) => {
      if (isRunning(this.#store.status())) return false;
      this.#store.begin(this.#topics, dropUnaccounted, transaction);
      return true;
    });
    if (began) this.resume();
    return began;
  }

  /** Continues a rebuild that this or an earlier process began, if there is one. */
  resume(): void {
    if (this.#stopped) return;
    const { runtime } = this.#options;
    try {
      this.#continue();
    } catch (error) {
      this.#failing.failed("", error, {}, "the state of the rebuild cannot be read, it is tried again");
      this.#cancelCheck = runtime.after(CHECK_EVERY_MS, () => this.resume());
    }
  }

  /** @throws what the disk throws; nothing has begun then */
  #continue(): void {
    const status = this.#store.status();
    if (!isRunning(status)) return;
    const { service, instance, subscriber, log } = this.#options;
    this.#madeProgress();
    if (status.phase === "reading") {
      log.info({ ...status }, "a rebuild reads the topics");
      this.#subscription = subscriber.subscribe({
        group: rebuildGroup(service, instance),
        topics: this.#topics,
        startAt: (topic, partition) => this.#store.position(topic, partition)?.next,
        handle: (batch) => this.#read(batch),
      });
    }
    this.#check();
  }

  /** Resolves when nothing of it runs any more; the next process continues it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelCheck();
    await this.#subscription?.stop();
    await this.#ending;
    this.#store.close();
  }

  async #read(batch: Batch): Promise<Progress> {
    const { topic, partition, records, undecodable } = batch;
    const lastOffset = undecodable?.lastOffset ?? records.at(-1)?.offset ?? batch.end - 1;
    const end = lastOffset + 1;
    let left = records;
    while (left.length > 0 && !this.#stopped) {
      const position = this.#store.position(topic, partition);
      if (position === undefined || position.next >= position.target) break;
      if (batch.end < position.target) {
        const name = topicPartition(topic, partition);
        await this.#fail(`${name} ends at ${batch.end}, ${position.target} had been handled`);
        break;
      }
      const slice = left;
      try {
        const taken = await this.#options.unitOfWork.run((transaction) =>
          this.#take(slice, position.target, transaction),
        );
        left = left.slice(taken);
      } catch (error) {
        this.#fault = `a message cannot be handled again: ${errorText(error)}`;
        throw error;
      }
      this.#madeProgress();
    }
    if (records.length === 0 && undecodable === undefined) await this.#passRemoved(batch);
    // It had been skipped by an operator: the consumer does not go past it otherwise.
    if (left.length === 0 && undecodable !== undefined) await this.#passUndecodable(batch, undecodable);
    return { next: end };
  }

  /** Retention removed the rest of a log: nothing follows that could say so. */
  async #passRemoved({ topic, partition, start }: Batch): Promise<void> {
    await this.#options.unitOfWork.run(() => {
      const { next = 0, target = 0 } = this.#store.position(topic, partition) ?? {};
      if (next < Math.min(start, target)) this.#store.pass(topic, partition, Math.min(start, target), 0);
    });
    this.#madeProgress();
  }

  async #passUndecodable({ topic, partition }: Batch, undecodable: UndecodableBatch): Promise<void> {
    await this.#options.unitOfWork.run(() => {
      const { target = 0 } = this.#store.position(topic, partition) ?? {};
      const count = undecodable.lastOffset - undecodable.offset + 1;
      if (undecodable.offset < target) {
        this.#store.pass(topic, partition, Math.min(undecodable.lastOffset + 1, target), count);
      }
    });
    this.#madeProgress();
  }

  #madeProgress(): void {
    this.#progressAtMs = this.#options.runtime.monotonic();
    this.#fault = undefined;
  }

  /** Handles records again until the time of the group is used up. @returns how many it took */
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

  /** @returns whether the message could be handled */
  #handle(record: IncomingRecord, transaction: Transaction): boolean {
    const decoded = decode(this.#known, record);
    if (decoded.status === "rejected") return false;
    const handler = this.#handlers.get(decoded.message.type);
    try {
      const result = handler?.handle(decoded.message, withoutEffects(transaction), record);
      const { database, log } = this.#options;
      resultOfWork(result, `the handler of ${decoded.message.type}`, database.sql, log);
      return true;
    } catch (error) {
      if (error instanceof DomainError) return false;
      throw error;
    }
  }

  /** Looks now and then whether everything has been read. */
  #check(): void {
    if (this.#stopped) return;
    try {
      this.#advance();
    } catch (error) {
      this.#checkLater(error);
    }
  }

  /** Ends the rebuild once everything has been read, or cannot be. @throws what the disk throws */
  #advance(): void {
    const { runtime } = this.#options;
    const { phase, read, toRead } = this.#store.status();
    if (phase === "checking" || (phase === "reading" && read >= toRead)) {
      this.#ending = this.#finish().catch((error: unknown) => this.#checkLater(error));
      return;
    }
    if (phase !== "reading") return;
    const stalled = runtime.monotonic() - this.#progressAtMs > STALL_MS;
    if (stalled && this.#subscription?.healthy() === true) {
      const reason =
        this.#fault ?? "the topics no longer hold the messages that the projections were made from";
      this.#ending = this.#fail(reason).catch((error: unknown) => this.#checkLater(error));
      return;
    }
    this.#checkLater();
  }

  #checkLater(error?: unknown): void {
    const { runtime } = this.#options;
    if (error === undefined) this.#failing.over("", {}, "the rebuild goes on");
    else if (!isLogged(error)) {
      this.#failing.failed("", error, {}, "a step of the rebuild failed, it is tried again");
    }
    this.#cancelCheck = runtime.after(CHECK_EVERY_MS, () => this.#check());
  }

  async #finish(): Promise<void> {
    const { unitOfWork, tables, log } = this.#options;
    await this.#endReading();
    await unitOfWork.run(() => this.#store.beginCheck());
    let unaccounted = 0;
    for (const table of tables) {
      const key = this.#store.keyOf(table);
      let after: Key | undefined;
      do {
        const from = after;
        const slice = await unitOfWork.run(() => this.#store.check(table, key, from, CHECKED_ROWS));
        unaccounted += slice.unaccounted;
        after = slice.next;
      } while (after !== undefined && !this.#stopped);
    }
    if (this.#stopped) return;
    await unitOfWork.run((transaction) => this.#store.end("done", null, unaccounted, transaction));
    log.info({ ...this.status() }, "the projections are rebuilt");
  }

  async #fail(reason: string): Promise<void> {
    const { unitOfWork, log, runtime } = this.#options;
    log.error({ reason }, "the rebuild failed, the projections stay as they were");
    await unitOfWork.run((transaction) => this.#store.end("failed", reason, 0, transaction));
    // Not within the handler of the subscription: its end waits for the handler.
    runtime.soon(() => void this.#endReading());
  }

  async #endReading(): Promise<void> {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    await subscription?.stop();
  }
}

function isRunning({ phase }: RebuildStatus): boolean {
  return phase === "reading" || phase === "checking";
}

/** For messages that are handled a second time: nothing is emitted and no timer is set twice. */
function withoutEffects(transaction: Transaction): Transaction {
  const refuse = (): never => {
    throw new UsageError("a handler of a projection emits nothing and sets no timers");
  };
  return {
    now: transaction.now,
    emit: refuse,
    emitLatest: refuse,
    emitRaw: refuse,
    setTimer: refuse,
    enqueue: refuse,
    cancelTimer: refuse,
    afterCommit: (callback) => transaction.afterCommit(callback),
    causedBy: () => withoutEffects(transaction),
    overBudget: () => transaction.overBudget(),
  };
}

interface PositionRow {
  readonly next: number;
  readonly target: number;
}

interface StatusRow extends Omit<RebuildStatus, "read" | "toRead"> {
  readonly dropUnaccounted: number;
}

/** The values by which a row is found. */
type Key = SQLQueryBindings[];

/** A part of a table that was checked. */
interface Slice {
  /** The key of the row to continue after; undefined at the end of the table. */
  readonly next: Key | undefined;
  /** Rows in it that have not been written since the rebuild began. */
  readonly unaccounted: number;
}

/** The rows of a rebuild. */
class RebuildStore {
  readonly #database: ServiceDatabase;
  readonly #statements;

  constructor(database: ServiceDatabase) {
    const { sql } = database;
    this.#database = database;
    this.#statements = {
      status: sql.prepare<StatusRow, []>(
        `SELECT phase, drop_unaccounted AS dropUnaccounted, started_at AS startedAt, ended_at AS endedAt, error,
           skipped, unaccounted FROM rebuild`,
      ),
      progress: sql.prepare<{ read: number; toRead: number }, []>(
        `SELECT coalesce(sum(min(next_offset, target)), 0) AS read, coalesce(sum(target), 0) AS toRead
         FROM rebuild_positions`,
      ),
      begin: sql.prepare(
        `UPDATE rebuild SET generation = generation + 1, phase = 'reading', drop_unaccounted = ?, started_at = ?,
           ended_at = NULL, error = NULL, skipped = 0, unaccounted = 0`,
      ),
      clear: sql.prepare("DELETE FROM rebuild_positions"),
      aim: sql.prepare(
        `INSERT INTO rebuild_positions (topic, partition, next_offset, target)
         SELECT topic, partition, 0, next_offset FROM consumer_offsets WHERE topic = ?`,
      ),
      position: sql.prepare<PositionRow, [string, number]>(
        "SELECT next_offset AS next, target FROM rebuild_positions WHERE topic = ? AND partition = ?",
      ),
      pass: sql.prepare("UPDATE rebuild_positions SET next_offset = ? WHERE topic = ? AND partition = ?"),
      skip: sql.prepare("UPDATE rebuild SET skipped = skipped + ?"),
      check: sql.prepare("UPDATE rebuild SET phase = 'checking'"),
      end: sql.prepare("UPDATE rebuild SET phase = ?, ended_at = ?, error = ?, unaccounted = ?"),
    };
  }

  status(): RebuildStatus {
    const { dropUnaccounted: _, ...status } = this.#row();
    const progress = this.#statements.progress.get();
    return { ...status, read: progress?.read ?? 0, toRead: progress?.toRead ?? 0 };
  }

  /** What is written from now on has the next generation. */
  begin(topics: readonly string[], dropUnaccounted: boolean, { now }: Transaction): void {
    this.#statements.begin.run(Number(dropUnaccounted), now);
    this.#statements.clear.run();
    for (const topic of topics) this.#statements.aim.run(topic);
  }

  position(topic: string, partition: number): PositionRow | undefined {
    return this.#statements.position.get(topic, partition) ?? undefined;
  }

  pass(topic: string, partition: number, next: number, skipped: number): void {
    this.#statements.pass.run(next, topic, partition);
    if (skipped > 0) this.#statements.skip.run(skipped);
  }

  /** Everything has been read. */
  beginCheck(): void {
    this.#statements.check.run();
  }

  /** The columns by which the rows of a table are in order. */
  keyOf(table: string): string {
    const { sql } = this.#database;
    using kind = sql.prepare<{ wr: number }, [string]>(
      "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?",
    );
    if (kind.get(table)?.wr !== 1) return "rowid";
    using columns = sql.prepare<{ name: string }, [string]>(
      "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk",
    );
    return columns
      .all(table)
      .map(({ name }) => name)
      .join(", ");
  }

  /**
   * Counts the rows of an older generation among the next rows of a table, and deletes them if that was requested.
   *
   * @param table of a projection, with a generation; a row without one does not belong to it
   * @param key as `keyOf` returns it
   * @param after where the last slice ended; undefined for the first one
   */
  check(table: string, key: string, after: Key | undefined, rows: number): Slice {
    const { sql } = this.#database;
    const marks = key.replaceAll(/[^, ]+/g, "?");
    const isAfter = after === undefined ? "true" : `(${key}) > (${marks})`;
    const from = after ?? [];
    using last = sql.prepare<unknown, Key>(
      `SELECT ${key} FROM (SELECT ${key} FROM ${table} WHERE ${isAfter} ORDER BY ${key} LIMIT ?)
       ORDER BY ${key.replaceAll(",", " DESC,")} DESC LIMIT 1`,
    );
    const [end] = last.values(...from, rows);
    if (end === undefined) return { next: undefined, unaccounted: 0 };
    const old = `${isAfter} AND (${key}) <= (${marks}) AND generation < (SELECT generation FROM rebuild)`;
    using count = sql.prepare<{ count: number }, Key>(`SELECT count(*) AS count FROM ${table} WHERE ${old}`);
    const unaccounted = count.get(...from, ...end)?.count ?? 0;
    if (unaccounted > 0 && this.#row().dropUnaccounted === 1) {
      sql.run(`DELETE FROM ${table} WHERE ${old}`, [...from, ...end]);
    }
    return { next: end, unaccounted };
  }

  end(phase: "done" | "failed", error: string | null, unaccounted: number, { now }: Transaction): void {
    this.#statements.end.run(phase, now, error?.slice(0, MAX_ERROR_CHARACTERS) ?? null, unaccounted);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #row(): StatusRow {
    const row = this.#statements.status.get();
    if (row === null) throw new Error("the table rebuild has no row");
    return row;
  }
}
