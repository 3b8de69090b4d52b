import type { ServiceDatabase } from "../database.ts";

/** Rows that one pruning looks at: small enough to ride along with a group of messages unnoticed. */
const PRUNE_SLICE = 500;

/**
 * What has been handled. The claim is written in the same transaction as the effect, so a message that comes
 * again, for whatever reason and however often, finds its own trace.
 */
export class Inbox {
  readonly #claim;
  readonly #prune;

  constructor(database: ServiceDatabase) {
    this.#claim = database.sql.prepare(
      "INSERT INTO inbox (consumer, message_id, handled_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    this.#prune = database.sql.prepare(
      `DELETE FROM inbox WHERE handled_at < ? AND seq IN (SELECT seq FROM inbox ORDER BY seq LIMIT ${PRUNE_SLICE})`,
    );
  }

  /**
   * Claims a message for a consumer. Only inside a transaction.
   *
   * @returns whether it is the first time; `false` means that the effect is already there
   */
  claim(consumer: string, messageId: string, nowMs: number): boolean {
    return this.#claim.run(consumer, messageId, nowMs).changes === 1;
  }

  /**
   * Forgets a slice of what was handled before `beforeMs`. Only inside a transaction.
   *
   * @returns how many were forgotten; a full slice means that there may be more
   */
  prune(beforeMs: number): { forgotten: number; more: boolean } {
    const forgotten = this.#prune.run(beforeMs).changes;
    return { forgotten, more: forgotten === PRUNE_SLICE };
  }

  close(): void {
    this.#claim.finalize();
    this.#prune.finalize();
  }
}
