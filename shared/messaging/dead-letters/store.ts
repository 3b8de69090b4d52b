import { MAX_MESSAGE_BYTES } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import { DeadLetterRefusal, DeadLettersFull } from "../errors.ts";
import type { Transaction } from "../transaction.ts";
import type { IncomingRecord } from "../transport/transport.ts";
import {
  COLUMNS,
  type DeadLetter,
  type DeadLetterReason,
  type DeadLetterRow,
  type Failure,
  toLetter,
} from "./dead-letter.ts";

export type { DeadLetter, DeadLetterReason, Failure } from "./dead-letter.ts";

/** Longer texts are cut: a dead letter explains, it does not archive. */
const MAX_ERROR_CHARACTERS = 2_000;
/** A longer key, or longer headers, are left out of the copy: a broker that refuses it would hold up the outbox. */
const MAX_COPIED_BYTES = 32 * 1024;
/** Then the consumer waits instead of parking more. With MAX_MESSAGE_BYTES this bounds the table to some 25 GB. */
const MAX_LETTERS = 100_000;
/** Messages of unknown type are kept to be looked at, not to be replayed: the newest of them suffice. */
const MAX_UNKNOWN = 10_000;

const IN_LINE = "key IS NOT NULL AND reason <> 'unknown-type'";

/**
 * What could not be handled, kept as it came: bytes, headers, where it stood, and why.
 *
 * Parking keeps the order of a key. While a message of a topic and key is parked, those that come after it are
 * parked behind it, and all other keys flow on.
 */
export class DeadLetterStore {
  readonly #copyTopic: string;
  readonly #statements;
  /** Upper bound of the letters there are, so that the usual case, none, costs no look-up. */
  #atMost: number;

  /** @param copyTopic where a copy of each parked record goes, for people who look at topics */
  constructor(database: ServiceDatabase, copyTopic: string) {
    const { sql } = database;
    this.#copyTopic = copyTopic;
    this.#statements = {
      insert: sql.prepare(
        `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, reason, error, stack, attempts, parked_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      count: sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM dead_letters"),
      countByReason: sql.prepare<{ reason: DeadLetterReason; count: number }, []>(
        "SELECT reason, count(*) AS count FROM dead_letters GROUP BY reason",
      ),
      head: sql.prepare<{ id: number }, [string, string]>(
        `SELECT id FROM dead_letters WHERE topic = ? AND key = ? AND ${IN_LINE} ORDER BY id LIMIT 1`,
      ),
      lineLength: sql.prepare<{ count: number }, [string, string]>(
        `SELECT count(*) AS count FROM dead_letters WHERE topic = ? AND key = ? AND ${IN_LINE}`,
      ),
      find: sql.prepare<DeadLetterRow, [number]>(`SELECT ${COLUMNS} FROM dead_letters WHERE id = ?`),
      remove: sql.prepare("DELETE FROM dead_letters WHERE id = ?"),
      fail: sql.prepare(
        "UPDATE dead_letters SET reason = ?, error = ?, stack = ?, attempts = ? WHERE id = ?",
      ),
      begin: sql.prepare("UPDATE dead_letters SET attempts = attempts + 1 WHERE id = ?"),
      edit: sql.prepare("UPDATE dead_letters SET edited = ? WHERE id = ?"),
      replayed: sql.prepare("UPDATE dead_letters SET replays = replays + 1 WHERE id = ?"),
      released: sql.prepare<DeadLetterRow, []>(
        `SELECT ${COLUMNS} FROM dead_letters AS letter WHERE reason = 'blocked' AND NOT EXISTS (
           SELECT 1 FROM dead_letters AS before
           WHERE before.topic = letter.topic AND before.key = letter.key AND before.id < letter.id
             AND before.key IS NOT NULL AND before.reason <> 'unknown-type'
         ) ORDER BY id LIMIT 1`,
      ),
      prune: sql.prepare(
        `DELETE FROM dead_letters WHERE reason = 'unknown-type' AND id <= (
           SELECT id FROM dead_letters WHERE reason = 'unknown-type' ORDER BY id DESC LIMIT 1 OFFSET ${MAX_UNKNOWN}
         )`,
      ),
    };
    this.#atMost = this.count();
  }

  /** Keeps a record. Only inside a transaction, the one that moves the offset past it. @throws DeadLettersFull */
  park(record: IncomingRecord, failure: Failure, transaction: Transaction): void {
    if (this.#atMost >= MAX_LETTERS) {
      this.#atMost = this.count();
      if (this.#atMost >= MAX_LETTERS)
        throw new DeadLettersFull(`there are ${this.#atMost} dead letters already`);
    }
    this.#atMost += 1;
    this.#statements.insert.run(
      record.topic,
      record.partition,
      record.offset,
      record.key,
      record.value,
      JSON.stringify(record.headers),
      failure.reason,
      ...shortened(failure),
      failure.attempts,
      transaction.now,
    );
    transaction.emitRaw(copyOf(record, failure, this.#copyTopic));
  }

  /** Whether a message of this topic and key is parked, so that the next one has to wait behind it. */
  holds(topic: string, key: string | null): boolean {
    return this.#atMost > 0 && key !== null && this.#statements.head.get(topic, key) !== null;
  }

  /** The first of a letter's line; the letter itself when it stands in none. */
  headOf(letter: DeadLetter): number {
    const { topic, key, reason } = letter;
    if (key === null || reason === "unknown-type") return letter.id;
    return this.#statements.head.get(topic, key)?.id ?? letter.id;
  }

  /** How many stand in a letter's line, itself included. */
  lineLength(letter: DeadLetter): number {
    const { topic, key, reason } = letter;
    if (key === null || reason === "unknown-type") return 1;
    return this.#statements.lineLength.get(topic, key)?.count ?? 1;
  }

  find(id: number): DeadLetter | undefined {
    const row = this.#statements.find.get(id);
    return row === null ? undefined : toLetter(row);
  }

  /** @throws DeadLetterRefusal not-found */
  existing(id: number): DeadLetter {
    const letter = this.find(id);
    if (letter === undefined) throw new DeadLetterRefusal("not-found", `there is no dead letter ${id}`);
    return letter;
  }

  /** The oldest letter that waits for nobody any more: those before it in its line are gone. */
  firstReleased(): DeadLetter | undefined {
    if (this.#atMost === 0) return undefined;
    const row = this.#statements.released.get();
    return row === null ? undefined : toLetter(row);
  }

  /** Only inside a transaction, like everything below. */
  remove(id: number): void {
    this.#statements.remove.run(id);
  }

  fail(id: number, failure: Failure): void {
    this.#statements.fail.run(failure.reason, ...shortened(failure), failure.attempts, id);
  }

  /** It is tried once more, and whether that ends well is not known yet. */
  begin(id: number): void {
    this.#statements.begin.run(id);
  }

  edit(id: number, value: Uint8Array): void {
    this.#statements.edit.run(value, id);
  }

  countReplay(id: number): void {
    this.#statements.replayed.run(id);
  }

  /** Drops the oldest letters of unknown type beyond those that are kept. */
  prune(): void {
    if (this.#atMost > MAX_UNKNOWN) this.#statements.prune.run();
  }

  count(): number {
    return this.#statements.count.get()?.count ?? 0;
  }

  /** How many there are for each reason that there are any for. */
  countByReason(): Map<DeadLetterReason, number> {
    return new Map(this.#statements.countByReason.all().map(({ reason, count }) => [reason, count]));
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}

function shortened({ error, stack }: Failure): [string, string | null] {
  return [error.slice(0, MAX_ERROR_CHARACTERS), stack?.slice(0, MAX_ERROR_CHARACTERS) ?? null];
}

/** The record as it came, with the reason in its headers; a monster is cut so that the broker takes the copy. */
function copyOf(record: IncomingRecord, failure: Failure, topic: string) {
  const { key, headers } = record;
  const fits = (part: string) => Buffer.byteLength(part) <= MAX_COPIED_BYTES;
  return {
    topic,
    key: key !== null && fits(key) ? key : null,
    value: record.value?.subarray(0, MAX_MESSAGE_BYTES) ?? null,
    headers: {
      ...(fits(JSON.stringify(headers)) ? headers : {}),
      "dead-letter-reason": failure.reason,
      "dead-letter-error": failure.error.slice(0, MAX_ERROR_CHARACTERS),
      "dead-letter-attempts": String(failure.attempts),
      "dead-letter-source": `${record.topic}/${record.partition}/${record.offset}`,
    },
  };
}
