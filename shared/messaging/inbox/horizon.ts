import { changeRows, type ServiceDatabase } from "../database.ts";
import type { Runtime } from "../runtime.ts";
import type { Transaction } from "../unit-of-work.ts";

/** The horizon advances at most this far at a time, and once in so long: see `advance`. */
const MAX_STEP_MS = 60 * 60 * 1000;
const STEP_EVERY_MS = 60_000;

/**
 * What happens to a message that is too old to be known: its time is before the horizon, and its claim is not there.
 *
 * - `park`: it is parked; so in the log that the offset belongs to
 * - `ask`: its partition is stopped; so in a log that is read anew
 * - `handle`, `skip`: what an operator decided; a partition that has never been read is handled without a question
 */
export type OlderMessages = "park" | "ask" | "handle" | "skip";

interface Reread {
  readonly until: number;
  readonly older: OlderMessages;
}

/**
 * How far back the inbox is complete. A claim is stamped with the later one of the time of its message and that of its
 * handling, and is deleted only once the horizon has passed its stamp. The horizon never goes back. So the claim of a
 * message whose time is not before the horizon is there if the message was ever handled, whatever the clocks show: the
 * time is a part of the message. Of a message before the horizon whose claim is not there, nobody can say.
 */
export class Horizon {
  readonly #runtime: Runtime;
  readonly #statements;
  /** Not before the stored horizon, also if a transaction that advanced it was rolled back. */
  #atMost: number;
  /** Not less than the number of partitions that are read anew. */
  #rereads: number;
  #steppedAtMs = Number.NEGATIVE_INFINITY;

  /** @param retentionMs how long claims are kept, by the clock */
  constructor(database: ServiceDatabase, retentionMs: number, runtime: Runtime) {
    const { sql } = database;
    this.#runtime = runtime;
    // Claims that an earlier version of the kit deleted were older than this.
    const time = runtime.now() - retentionMs;
    changeRows(database, () => sql.run("UPDATE inbox_horizon SET time = ? WHERE time IS NULL", [time]));
    this.#statements = {
      rereads: sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM rereads"),
      get: sql.prepare<{ time: number }, []>("SELECT time FROM inbox_horizon"),
      set: sql.prepare("UPDATE inbox_horizon SET time = max(time, ?)"),
      reread: sql.prepare<Reread, [string, number]>(
        "SELECT until_offset AS until, older FROM rereads WHERE topic = ? AND partition = ?",
      ),
      begin: sql.prepare(
        `INSERT INTO rereads (topic, partition, until_offset, older) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET until_offset = excluded.until_offset, older = excluded.older`,
      ),
      decide: sql.prepare("UPDATE rereads SET older = ? WHERE topic = ? AND partition = ?"),
      shorten: sql.prepare("UPDATE rereads SET until_offset = 0 WHERE topic = ? AND partition = ?"),
      end: sql.prepare("DELETE FROM rereads WHERE topic = ? AND partition = ?"),
    };
    this.#atMost = this.#stored();
    this.#rereads = this.#countRereads();
  }

  /** Whether the claim of a message of this time may have been deleted. @param time milliseconds since the epoch */
  isBefore(time: number): boolean {
    return time < this.#atMost && time < this.#stored();
  }

  /**
   * Moves the horizon towards a time; never back. It takes small steps: a clock that is ahead for a moment moves it by
   * one step, which is far less than the retention. After a long downtime it takes a while to get there.
   *
   * @returns where it is
   */
  advance(to: number): number {
    const nowMs = this.#runtime.monotonic();
    const stored = this.#stored();
    if (nowMs - this.#steppedAtMs < STEP_EVERY_MS || to <= stored) return stored;
    this.#steppedAtMs = nowMs;
    const next = Math.min(to, stored + MAX_STEP_MS);
    this.#atMost = Math.max(this.#atMost, next);
    this.#statements.set.run(next);
    return next;
  }

  /** A partition is read from the beginning of its log. @param until the end of the log */
  beginReread(topic: string, partition: number, until: number, older: "ask" | "handle"): void {
    this.#rereads += 1;
    this.#statements.begin.run(topic, partition, until, older);
  }

  /** A partition is read that was never read before: all its messages are new. */
  beginFirstRead(topic: string, partition: number, until: number): void {
    if (this.#rereads > 0 && this.#statements.reread.get(topic, partition) !== null) return;
    this.beginReread(topic, partition, until, "handle");
  }

  /** An operator has decided about the older messages of a log that is read anew. */
  decide(topic: string, partition: number, older: "handle" | "skip"): void {
    this.#statements.decide.run(older, topic, partition);
  }

  /** The log counts as one that was read before: its older messages are parked. */
  endReread(topic: string, partition: number): void {
    // The row stays until there is an offset: without both, the partition would count as never read.
    this.#statements.shorten.run(topic, partition);
  }

  /** What happens to the older messages of a partition, by offset, as long as the transaction lasts. */
  olderMessages(topic: string, partition: number): (offset: number) => OlderMessages {
    const reread = this.#rereads === 0 ? null : this.#statements.reread.get(topic, partition);
    return (offset) => (reread === null || offset >= reread.until ? "park" : reread.older);
  }

  /** Everything before an offset has been handled. */
  passed(topic: string, partition: number, next: number, transaction: Transaction): void {
    if (this.#rereads === 0) return;
    const reread = this.#statements.reread.get(topic, partition);
    if (reread === null || next < reread.until) return;
    this.#statements.end.run(topic, partition);
    transaction.afterCommit(() => {
      this.#rereads = this.#countRereads();
    });
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #countRereads(): number {
    return this.#statements.rereads.get()?.count ?? 0;
  }

  #stored(): number {
    return this.#statements.get.get()?.time ?? 0;
  }
}

/** How long a partition that was assigned has to deliver its first records before it counts as read. */
const ASSIGNED_GRACE_MS = 60_000;

/**
 * Up to which time everything has been read: the horizon follows it, so that messages which wait in the topics of a
 * service that was down for long are not too old when they are read. Where it is wrong, messages are parked that could
 * have been handled; none is handled twice.
 */
export class ReadingProgress {
  readonly #runtime: Runtime;
  /** Partitions that have delivered nothing since they were assigned, and when that was. */
  readonly #assigned = new Map<string, number>();
  /** Partitions with records that have not been handled, and the time of the first; undefined if it is not known. */
  readonly #behind = new Map<string, number | undefined>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  assigned(partition: string): void {
    this.#assigned.set(partition, this.#runtime.monotonic());
    this.#behind.delete(partition);
  }

  caughtUp(partition: string): void {
    this.#assigned.delete(partition);
    this.#behind.delete(partition);
  }

  /** @param time of the first message that has not been handled */
  behind(partition: string, time: number | undefined): void {
    this.#assigned.delete(partition);
    this.#behind.set(partition, time);
  }

  /** @returns undefined when it is not known */
  readUpTo(now: number): number | undefined {
    const nowMs = this.#runtime.monotonic();
    for (const sinceMs of this.#assigned.values()) if (nowMs - sinceMs < ASSIGNED_GRACE_MS) return undefined;
    let upTo = now;
    for (const time of this.#behind.values()) {
      if (time === undefined) return undefined;
      upTo = Math.min(upTo, time);
    }
    return upTo;
  }
}

/** The stamp of a claim: see Horizon. */
export function stampOf(time: number, { now }: Pick<Transaction, "now">): number {
  return Math.max(time, now);
}
