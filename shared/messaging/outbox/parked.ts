import type { ServiceDatabase } from "../database.ts";
import { StorageError } from "../errors.ts";
import type { OutgoingRecord } from "../transport/transport.ts";

/**
 * Why an outgoing record is parked: the broker refuses the record itself; its topic does not exist or may not be
 * written; or an earlier record of its topic and key is parked.
 */
export const parkedReasons = ["record", "topic", "blocked"] as const;
export type ParkedReason = (typeof parkedReasons)[number];

/** Without room for more, the topic of a record that is refused waits, and its records stay in the outbox. */
const MAX_PARKED = 100_000;

/** A parked outgoing record without its bytes. */
export interface ParkedSummary {
  readonly id: number;
  readonly topic: string;
  readonly key: string | null;
  readonly reason: ParkedReason;
  readonly error: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly parkedAt: number;
  /** The length of its value. */
  readonly bytes: number;
}

export interface ParkedRecord extends ParkedSummary {
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
}

const SUMMARY = `id, topic, key, reason, error, created_at AS createdAt, parked_at AS parkedAt,
  coalesce(length(value), 0) AS bytes`;
const CONTENT = "topic, key, value, headers, created_at";

/**
 * Outgoing records that the broker does not take. As long as one of a topic and key is here, no other one of them is in
 * the outbox, so that none overtakes it.
 */
export class ParkedRecords {
  readonly #sql;
  readonly #statements;
  /**
   * Whether there may be any. If not, the usual case, nothing is looked up for a record that is emitted. False only if
   * a look outside of a transaction found none: what a transaction removes may come back.
   */
  #mayHaveAny = true;

  constructor({ sql }: ServiceDatabase) {
    this.#sql = sql;
    this.#statements = {
      // `+?`: of a plain one beside an ORDER BY, SQLite prepares the statement anew whenever a value is bound.
      blocks: sql.prepare<{ id: number }, [string, string]>(
        "SELECT id FROM parked_outgoing WHERE topic = +? AND key = +? ORDER BY id LIMIT 1",
      ),
      insert: sql.prepare(
        `INSERT INTO parked_outgoing (${CONTENT}, reason, error, parked_at)
         VALUES (?, ?, CAST(? AS BLOB), ?, ?, 'blocked', 'an earlier record is parked', ?)`,
      ),
      count: sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM parked_outgoing"),
      oldest: sql.prepare<{ parkedAt: number }, []>(
        "SELECT parked_at AS parkedAt FROM parked_outgoing ORDER BY id LIMIT 1",
      ),
      get: sql.prepare<Omit<ParkedRecord, "headers"> & { headers: string }, [number]>(
        `SELECT ${SUMMARY}, value, headers FROM parked_outgoing WHERE id = ?`,
      ),
      list: sql.prepare<ParkedSummary, [string | null, number, number]>(
        `SELECT ${SUMMARY} FROM parked_outgoing WHERE topic = coalesce(?, topic) AND id > ? ORDER BY id LIMIT ?`,
      ),
      firsts: sql.prepare<{ id: number }, [string | null, number]>(
        `SELECT min(id) AS id FROM parked_outgoing WHERE topic = coalesce(?, topic)
         GROUP BY topic, key, CASE WHEN key IS NULL THEN id END ORDER BY id LIMIT ?`,
      ),
      release: sql.prepare(
        `INSERT INTO outbox (${CONTENT})
         SELECT ${CONTENT} FROM parked_outgoing WHERE id = ?1 OR (topic = ?2 AND key = ?3) ORDER BY id`,
      ),
      removeReleased: sql.prepare("DELETE FROM parked_outgoing WHERE id = ?1 OR (topic = ?2 AND key = ?3)"),
      remove: sql.prepare("DELETE FROM parked_outgoing WHERE id = ?"),
    };
    this.count();
  }

  /** Whether a record of this topic and key has to wait behind a parked one. */
  blocks({ topic, key }: Pick<OutgoingRecord, "topic" | "key">): boolean {
    return this.firstOfKey({ topic, key }) !== undefined;
  }

  firstOfKey({ topic, key }: Pick<OutgoingRecord, "topic" | "key">): number | undefined {
    if (!this.#mayHaveAny || key === null) return undefined;
    return this.#statements.blocks.get(topic, key)?.id;
  }

  /** Parks a record behind an earlier one of its topic and key. @throws StorageError when there is no room */
  add({ topic, key, value, headers }: OutgoingRecord, nowMs: number): void {
    if (this.isFull())
      throw new StorageError(`${MAX_PARKED} outgoing records are parked, and ${topic} ${key} is blocked`);
    this.#statements.insert.run(topic, key, value, JSON.stringify(headers), nowMs, nowMs);
  }

  /** Moves records here from the outbox, in their order. */
  take(
    where: string,
    parameters: (string | number)[],
    reason: ParkedReason,
    error: string,
    nowMs: number,
  ): void {
    this.#mayHaveAny = true;
    this.#sql.run(
      `INSERT INTO parked_outgoing (${CONTENT}, reason, error, parked_at)
       SELECT ${CONTENT}, ?, ?, ? FROM outbox WHERE ${where} ORDER BY seq`,
      [reason, error, nowMs, ...parameters],
    );
    this.#sql.run(`DELETE FROM outbox WHERE ${where}`, parameters);
  }

  /** Moves a record and all others of its topic and key to the end of the outbox. */
  release({ id, topic, key }: ParkedSummary): void {
    this.#statements.release.run(id, topic, key);
    this.#statements.removeReleased.run(id, topic, key);
  }

  remove(id: number): void {
    this.#statements.remove.run(id);
  }

  get(id: number): ParkedRecord | undefined {
    const row = this.#statements.get.get(id);
    return row === null ? undefined : { ...row, headers: JSON.parse(row.headers) as Record<string, string> };
  }

  /** Oldest first. @param after the last id of the page before */
  list(topic: string | undefined, after: number, limit: number): ParkedSummary[] {
    return this.#statements.list.all(topic ?? null, after, limit);
  }

  /** The first parked record of each topic and key, oldest first. */
  firsts(topic: string | undefined, limit: number): number[] {
    return this.#statements.firsts.all(topic ?? null, limit).map(({ id }) => id);
  }

  count(): number {
    if (!this.#mayHaveAny) return 0;
    const count = this.#statements.count.get()?.count ?? 0;
    if (count === 0 && !this.#sql.inTransaction) this.#mayHaveAny = false;
    return count;
  }

  /** When the first of them was parked, in milliseconds since the epoch. */
  oldestAt(): number | undefined {
    return this.#statements.oldest.get()?.parkedAt;
  }

  isFull(): boolean {
    return this.count() >= MAX_PARKED;
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}
