import type { ServiceDatabase } from "../database.ts";
import { PartitionRefusal } from "../errors.ts";
import type { Logger } from "../runtime.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";
import type { Offsets } from "./offsets.ts";

/**
 * Why a partition is stopped.
 *
 * - `undecodable-batch`: records that are stored together cannot be decoded
 * - `gap`: retention removed records before they were read
 * - `unverifiable`: the log is read anew, and whether its records have been handled is not known any more
 * - `partitions-changed`: the topic is to be written with another number of partitions than before
 * - `dead-letters-full`: no more dead letters may be parked. It is tried again all the time, and ends by itself as soon as
 *   there is space
 */
export const stopReasons = [
  "undecodable-batch",
  "gap",
  "unverifiable",
  "partitions-changed",
  "dead-letters-full",
] as const;
export type StopReason = (typeof stopReasons)[number];

/**
 * What an operator decides.
 *
 * - `skip`: what is between `offset` and `nextOffset` is left out
 * - `resume`: tried again from `offset`, for example with another version of the code
 * - `skip-older`, `handle-older`, `park-older`: records that are too old to be known are left out, handled, or parked to be
 *   decided about one by one
 * - `accept`: the topic is written with its new number of partitions; its readers have handled what was sent before
 */
export const stopActions = ["skip", "resume", "skip-older", "handle-older", "park-older", "accept"] as const;
export type StopAction = (typeof stopActions)[number];

const possible: Readonly<Record<StopReason, readonly StopAction[]>> = {
  "undecodable-batch": ["skip", "resume"],
  gap: ["skip", "resume"],
  unverifiable: ["skip-older", "handle-older", "park-older", "resume"],
  "partitions-changed": ["accept", "resume"],
  "dead-letters-full": ["resume"],
};

/** The partition of a stop that concerns a whole topic. */
export const ALL_PARTITIONS = -1;

/** A partition that is not read any more, or a topic that is not written any more, until an operator has decided. */
export interface PartitionStop {
  readonly topic: string;
  /** ALL_PARTITIONS for a topic. */
  readonly partition: number;
  readonly reason: StopReason;
  /** For an operator to act on. */
  readonly error: string;
  /** The first offset that has not been handled. */
  readonly offset: number;
  /** Where reading goes on after `skip`. */
  readonly nextOffset: number;
  /** What cannot be decoded, as it is stored. */
  readonly bytes: Uint8Array | null;
  /** Milliseconds since the epoch. */
  readonly stoppedAt: number;
}

/** A decision about a stop. `actor` is `messaging` where the stop ended by itself. */
export interface StopDecision extends Omit<PartitionStop, "stoppedAt" | "reason"> {
  /** `older-database`: the database was older than it had been, and what it had handled was read again. */
  readonly reason: StopReason | "older-database";
  readonly action: StopAction | "log-replaced" | "reverted" | "read-again";
  readonly actor: string;
  readonly detail: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

const COLUMNS = "topic, partition, reason, error, offset, next_offset AS nextOffset, bytes";
/** The newest decisions are kept. */
const MAX_DECISIONS = 10_000;
const MAX_TEXT_CHARACTERS = 2_000;

/**
 * The partitions that are stopped. A stop is committed once, where the partition stands, and lasts over restarts until
 * an operator has decided; all other partitions are read meanwhile. Nothing is left out of a log without a decision.
 */
export class PartitionStops {
  readonly #options;
  readonly #statements;
  /** What an operator's decision does beside moving the offset. */
  readonly #effects = new Map<StopReason, StopEffect>();
  /** Not less than the number of stops: when it is 0, the usual case, nothing has to be looked up. */
  #atMost: number;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly offsets: Offsets;
    readonly unitOfWork: UnitOfWork;
    readonly log: Logger;
  }) {
    this.#options = options;
    const { sql } = options.database;
    this.#statements = {
      insert: sql.prepare(
        `INSERT INTO partition_stops (topic, partition, offset, next_offset, reason, error, bytes, stopped_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET offset = excluded.offset, next_offset = excluded.next_offset, reason = excluded.reason,
           error = excluded.error, bytes = excluded.bytes, stopped_at = iif(reason = excluded.reason, stopped_at, excluded.stopped_at)
         WHERE reason = 'dead-letters-full'`,
      ),
      find: sql.prepare<PartitionStop, [string, number]>(
        `SELECT ${COLUMNS}, stopped_at AS stoppedAt FROM partition_stops WHERE topic = ? AND partition = ?`,
      ),
      list: sql.prepare<PartitionStop, []>(
        `SELECT ${COLUMNS}, stopped_at AS stoppedAt FROM partition_stops ORDER BY topic, partition`,
      ),
      count: sql.prepare<{ reason: StopReason; count: number }, []>(
        "SELECT reason, count(*) AS count FROM partition_stops GROUP BY reason",
      ),
      remove: sql.prepare("DELETE FROM partition_stops WHERE topic = ? AND partition = ?"),
      decide: sql.prepare(
        `INSERT INTO partition_actions
           (topic, partition, reason, error, offset, next_offset, bytes, action, actor, detail, at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      prune: sql.prepare(
        `DELETE FROM partition_actions WHERE id <= (SELECT max(id) FROM partition_actions) - ${MAX_DECISIONS}`,
      ),
      done: sql.prepare<StopDecision, [string, string, number]>(
        `SELECT ${COLUMNS}, action, actor, detail, at FROM partition_actions
         WHERE reason = ? AND action = ? AND actor = 'messaging' AND at >= ? ORDER BY id DESC LIMIT 100`,
      ),
      decisions: sql.prepare<StopDecision, [string, number]>(
        `SELECT ${COLUMNS}, action, actor, detail, at FROM partition_actions
         WHERE topic = ? AND partition = ? ORDER BY id DESC LIMIT 100`,
      ),
    };
    this.#atMost = this.list().length;
  }

  /** Adds what the decisions about one reason do, in their transaction. Called while the kit is built. */
  onDecision(reason: StopReason, effect: StopEffect): void {
    this.#effects.set(reason, effect);
  }

  /**
   * Stops a partition. One that is stopped stays so as it is, unless it is only out of space for dead letters. Logged when
   * the transaction has committed, once for each reason.
   */
  stop(stop: Omit<PartitionStop, "stoppedAt">, transaction: Transaction): void {
    const { topic, partition, reason, offset, nextOffset, bytes } = stop;
    const error = stop.error.slice(0, MAX_TEXT_CHARACTERS);
    const before = this.get(topic, partition)?.reason;
    this.#statements.insert.run(
      ...[topic, partition, offset, nextOffset, reason, error, bytes, transaction.now],
    );
    if (before === reason || (before !== undefined && before !== "dead-letters-full")) return;
    this.#atMost += 1;
    const { log } = this.#options;
    transaction.afterCommit(() =>
      log.error({ topic, partition, offset, nextOffset, reason, error }, "a partition is stopped"),
    );
  }

  /** Records a stop that configuration ends at once: what is between its offsets is left out. */
  pass(stop: Omit<PartitionStop, "stoppedAt">, detail: string, transaction: Transaction): void {
    const { offsets, log } = this.#options;
    const { topic, partition, reason, offset, nextOffset, error } = stop;
    this.#end({ ...stop, stoppedAt: transaction.now }, "skip", "messaging", detail, transaction);
    offsets.skipTo(topic, partition, nextOffset, stop.bytes);
    transaction.afterCommit(() =>
      log.error({ topic, partition, offset, nextOffset, reason, error }, "records are left out"),
    );
  }

  get(topic: string, partition: number): PartitionStop | undefined {
    if (this.#atMost === 0) return undefined;
    return this.#statements.find.get(topic, partition) ?? undefined;
  }

  /** All that are stopped. Few: at most one for each partition, and one for each topic. */
  list(): PartitionStop[] {
    return this.#statements.list.all();
  }

  /** The number of stops for each reason. */
  countByReason(): Readonly<Record<StopReason, number>> {
    const counts = Object.fromEntries(stopReasons.map((reason) => [reason, 0])) as Record<StopReason, number>;
    for (const { reason, count } of this.#statements.count.all()) counts[reason] = count;
    return counts;
  }

  /** What was done without an operator since a time, newest first: at most a hundred. @param sinceMs since the epoch */
  done(reason: StopDecision["reason"], action: StopDecision["action"], sinceMs: number): StopDecision[] {
    return this.#statements.done.all(reason, action, sinceMs);
  }

  /** Records that the broker had been told of a later offset than the database has. Logged when it has committed. */
  foundOlder(
    found: { topic: string; partition: number; next: number; committed: number },
    transaction: Transaction,
  ): void {
    const { topic, partition, next, committed } = found;
    const error = `it had been handled up to offset ${committed}, the database says ${next}`;
    this.#statements.decide.run(
      ...[topic, partition, "older-database", error, next, committed, null],
      ...["read-again", "messaging", "", transaction.now],
    );
    this.#statements.prune.run();
    transaction.afterCommit(() =>
      this.#options.log.error(
        { topic, partition, offset: next, committed },
        "the database is older than it was: what it had handled is read again",
      ),
    );
  }

  /** The last hundred decisions about a partition, newest first. */
  decisions(topic: string, partition: number): StopDecision[] {
    return this.#statements.decisions.all(topic, partition);
  }

  /**
   * Ends a stop as an operator decided, and records who decided, why, and about which bytes.
   *
   * @param place with offset and reason of the stop that the operator looked at: a decision that arrives late, or twice,
   *   does not apply to the next stop of the partition
   * @throws PartitionRefusal not-stopped, stopped-elsewhere, action-not-possible
   */
  async decide(
    place: {
      readonly topic: string;
      readonly partition: number;
      readonly offset?: number | undefined;
      readonly reason?: StopReason | undefined;
    },
    action: StopAction,
    detail: string,
    actor: string,
  ): Promise<void> {
    const { unitOfWork, offsets, log } = this.#options;
    const { topic, partition } = place;
    const stop = await unitOfWork.run((transaction) => {
      const found = this.existing(topic, partition);
      if (place.offset !== undefined && place.offset !== found.offset) {
        const text = `partition ${topic}/${partition} is stopped at offset ${found.offset}, not ${place.offset}`;
        throw new PartitionRefusal("stopped-elsewhere", text);
      }
      if (place.reason !== undefined && place.reason !== found.reason) {
        const text = `partition ${topic}/${partition} is stopped for ${found.reason}, not ${place.reason}`;
        throw new PartitionRefusal("stopped-elsewhere", text);
      }
      const actions = possible[found.reason];
      if (!actions.includes(action)) {
        const text = `${action} is not possible for ${found.reason}; possible are ${actions.join(", ")}`;
        throw new PartitionRefusal("action-not-possible", text);
      }
      this.#end(found, action, actor, detail, transaction);
      if (action === "skip") offsets.skipTo(topic, partition, found.nextOffset, found.bytes);
      this.#effects.get(found.reason)?.(found, action, transaction);
      return found;
    });
    log.warn(
      { topic, partition, offset: stop.offset, reason: stop.reason, action, actor, detail },
      "a stop is ended",
    );
  }

  /** @throws PartitionRefusal not-stopped */
  existing(topic: string, partition: number): PartitionStop {
    const stop = this.get(topic, partition);
    const name = partition === ALL_PARTITIONS ? `the topic ${topic}` : `partition ${topic}/${partition}`;
    if (stop === undefined) throw new PartitionRefusal("not-stopped", `${name} is not stopped`);
    return stop;
  }

  /** The log of the partition is another one: what was to be decided is not in it. */
  logReplaced(topic: string, partition: number, transaction: Transaction): void {
    const stop = this.get(topic, partition);
    if (stop === undefined) return;
    this.#end(stop, "log-replaced", "messaging", "the log was replaced by another one", transaction);
  }

  /** What was to be accepted is as before. */
  reverted(topic: string, partition: number, transaction: Transaction): void {
    const stop = this.get(topic, partition);
    if (stop === undefined) return;
    this.#end(stop, "reverted", "messaging", "the number of partitions is as before", transaction);
  }

  /** The partition goes on by itself, which is no decision. */
  wentOn({ topic, partition }: Pick<PartitionStop, "topic" | "partition">, transaction: Transaction): void {
    this.#statements.remove.run(topic, partition);
    transaction.afterCommit(() => this.#options.log.info({ topic, partition }, "a partition goes on"));
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #end(
    stop: PartitionStop,
    action: StopDecision["action"],
    actor: string,
    detail: string,
    transaction: Transaction,
  ): void {
    const { topic, partition, reason, error, offset, nextOffset, bytes } = stop;
    this.#statements.remove.run(topic, partition);
    this.#statements.decide.run(
      ...[topic, partition, reason, error, offset, nextOffset, bytes],
      ...[action, actor, detail.slice(0, MAX_TEXT_CHARACTERS), transaction.now],
    );
    this.#statements.prune.run();
  }
}

type StopEffect = (stop: PartitionStop, action: StopAction, transaction: Transaction) => void;
