import { createHash } from "node:crypto";
import type {
  Logger,
  Migration,
  Runtime,
  ServiceDatabase,
  Topic,
  Transaction,
  UnitOfWork,
} from "@distributed-messaging/messaging";
import type { CommonConfig } from "./config.ts";
import { giveBackPages } from "./storage.ts";

/* What a service keeps for a configured time, and deletes then: see docs/decisions/0064. */

/** The tables of `Retention` and `DeletedIds`. */
export const retentionMigration: Migration = {
  name: "retention",
  additive: true,
  sql: `-- The time by which retention deletes: see docs/decisions/0064.
CREATE TABLE retention_clock (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), time INTEGER NOT NULL) STRICT;
-- The first 16 bytes of the SHA-256 of each id that was deleted, in the order of the deletions.
CREATE TABLE deleted_ids (
  seq INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  deleted_at INTEGER NOT NULL
) STRICT;
`,
};

/** What is kept for a time. */
export interface Kept {
  /** For how long, in milliseconds. */
  readonly keepMs: number;
  /** The time of the newest of it; undefined when there is none. Milliseconds since the epoch. */
  newest(): number | undefined;
  /**
   * Deletes some of what is older. Runs in a unit of work, and again when that failed.
   *
   * @param before milliseconds since the epoch
   * @param limit how many to look at, at most
   * @param now the time by which retention deletes
   * @returns whether there may be more
   */
  remove(before: number, limit: number, now: number): boolean;
}

const BATCH = 100;
/** How many batches wait for their turn together, at most: in a busy service each turn comes late, and few would not keep up. */
const MOST_BATCHES = 8;
/** Requests and messages come between two batches. */
const BATCH_PAUSE_MS = 5;
const MAX_PAUSE_MS = 60_000;
const MIN_PAUSE_MS = 100;
/** Looks so often within the time for which things are kept, at least. */
const LOOKS = 20;
/** How much faster than a clock that cannot jump the clock of retention may go: it catches up after a downtime. */
const MAX_SPEED = 2;

/**
 * Deletes what a service has kept for its time, a few rows in each unit of work, and gives the disk back what that frees.
 *
 * Its clock is a row of the database. It is never later than the system's, and goes at most twice as fast as the
 * monotonic clock, so a system clock that is ahead for a minute makes it one minute fast, however far that is ahead.
 * It begins at the time of the newest row, and stands still while the process does not run.
 */
export class Retention {
  readonly #options;
  readonly #statements;
  #cancel: () => void = () => {};
  #steppedAtMs: number | undefined;
  /** How many batches the next look has: twice as many, as long as there is more. */
  #batches = 1;
  #sweeping: Promise<void> | undefined;
  #stopped = false;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly kept: Kept;
    readonly unitOfWork: Pick<UnitOfWork, "run">;
    readonly runtime: Runtime;
    readonly log: Logger;
    /** See `giveBackPages`. */
    readonly minFreeBytes?: number;
  }) {
    this.#options = options;
    const { sql } = options.database;
    this.#statements = {
      time: sql.prepare<{ time: number }, []>("SELECT time FROM retention_clock"),
      setTime: sql.prepare<null, [number]>(
        `INSERT INTO retention_clock (singleton, time) VALUES (1, ?)
         ON CONFLICT DO UPDATE SET time = max(time, excluded.time)`,
      ),
    };
  }

  start(): void {
    this.#steppedAtMs = this.#options.runtime.monotonic();
    this.#schedule(BATCH_PAUSE_MS);
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#sweeping;
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.runtime.after(delayMs, () => {
      this.#sweeping = this.#sweep();
    });
  }

  async #sweep(): Promise<void> {
    const { database, kept, unitOfWork, log, minFreeBytes } = this.#options;
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, kept.keepMs / LOOKS));
    try {
      // Steps once for all of them.
      let now: number | undefined;
      const removeBatch = (transaction: Transaction) => {
        now ??= this.#advance(transaction);
        return kept.remove(now - kept.keepMs, BATCH, now);
      };
      const looks = await Promise.all(
        Array.from({ length: this.#batches }, () => unitOfWork.run(removeBatch)),
      );
      const hasMore = looks.every(Boolean);
      this.#batches = hasMore ? Math.min(2 * this.#batches, MOST_BATCHES) : 1;
      const hasFreePages = !hasMore && (await unitOfWork.run(() => giveBackPages(database, minFreeBytes)));
      this.#schedule(hasMore || hasFreePages ? BATCH_PAUSE_MS : pauseMs);
    } catch (error) {
      log.warn({ err: error }, "what is too old could not be deleted, it is tried again later");
      this.#schedule(pauseMs);
    }
  }

  /** @returns the time by which is deleted now */
  #advance(transaction: Transaction): number {
    const { now } = transaction;
    const monotonicMs = this.#options.runtime.monotonic();
    const elapsedMs = monotonicMs - (this.#steppedAtMs ?? monotonicMs);
    const stored = this.#statements.time.get()?.time;
    const most =
      stored === undefined
        ? (this.#options.kept.newest() ?? now)
        : stored + Math.floor(elapsedMs * MAX_SPEED);
    const time = Math.min(now, most);
    this.#statements.setTime.run(time);
    transaction.afterCommit(() => {
      this.#steppedAtMs = monotonicMs;
    });
    return time;
  }
}

/** The ids of what was deleted, so that none of them takes effect again. */
export class DeletedIds {
  readonly #statements;
  /** False only while there is none: no query is needed then. */
  #any: boolean;

  constructor({ sql }: ServiceDatabase) {
    this.#statements = {
      find: sql.prepare<{ seq: number }, [Uint8Array]>("SELECT seq FROM deleted_ids WHERE hash = ?"),
      add: sql.prepare<null, [Uint8Array, number]>(
        "INSERT INTO deleted_ids (hash, deleted_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
      ),
      prune: sql.prepare<null, [number, number]>(
        `DELETE FROM deleted_ids WHERE seq IN (
           SELECT seq FROM (SELECT seq, deleted_at FROM deleted_ids ORDER BY seq LIMIT ?2) WHERE deleted_at < ?1
         )`,
      ),
    };
    using any = sql.prepare("SELECT 1 FROM deleted_ids LIMIT 1");
    this.#any = any.get() !== null;
  }

  has(id: string): boolean {
    return this.#any && this.#statements.find.get(hashOf(id)) !== null;
  }

  /** @param now when it was deleted, in milliseconds since the epoch */
  add(id: string, now: number): void {
    this.#any = true;
    this.#statements.add.run(hashOf(id), now);
  }

  /** Forgets some of those that were deleted before a time. @param limit how many to look at, at most */
  prune(before: number, limit: number): void {
    if (this.#any) this.#statements.prune.run(before, limit);
  }
}

function hashOf(id: string): Uint8Array {
  return createHash("sha256").update(id).digest().subarray(0, 16);
}

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * For how long each service keeps an order that is final, and its id after that, in milliseconds. The gateway deletes
 * first, so that what it still accepts about an order finds it at the others, and forgets the id last, so that no
 * order is accepted that the others would take for a deleted one.
 */
export function orderRetention(orderRetentionMs: number) {
  return {
    gateway: { keepMs: orderRetentionMs, idMs: 4 * orderRetentionMs },
    order: { keepMs: 1.25 * orderRetentionMs, idMs: 3 * orderRetentionMs },
    inventory: { keepMs: 1.5 * orderRetentionMs, idMs: 3 * orderRetentionMs },
  };
}

/**
 * The topics with the retention that the settings ask for: those that are kept for ever by default, which projections
 * are rebuilt from, are kept for twice `ORDER_RETENTION`, and for `NOTIFICATION_RETENTION` and a week at least.
 */
export function keptTopics(
  topics: readonly Topic[],
  {
    ORDER_RETENTION: orders,
    NOTIFICATION_RETENTION: notifications = 0,
  }: Pick<CommonConfig, "ORDER_RETENTION" | "NOTIFICATION_RETENTION">,
): readonly Topic[] {
  if (orders === undefined) return topics;
  const retention = String(Math.max(2 * orders, notifications, WEEK_MS));
  return topics.map((topic) =>
    topic.config["retention.ms"] === "-1"
      ? { ...topic, config: { ...topic.config, "retention.ms": retention } }
      : topic,
  );
}
