import type { ReadRecord } from "../contract/cloud-event.ts";
import { MAX_MESSAGE_BYTES } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import { DeadLetterRefusal, DeadLettersFull } from "../errors.ts";
import type { ExactBytes, IncomingRecord, OutgoingRecord, RecordPosition } from "../transport/transport.ts";
import type { Transaction } from "../unit-of-work.ts";

/**
 * Why a message is parked.
 *
 * - `undecodable`, `unknown-type`, `newer-version`, `wrong-topic`, `wrong-source`, `wrong-key`, `schema`: see
 *   `RejectionReason`
 * - `too-old`: the inbox no longer says whether it was handled
 * - `domain`: its handler threw a DomainError
 * - `handler-error`: its handler is wrong (UsageError, ContractViolation), or threw an error that the retry policy does not retry
 * - `retries-exhausted`: its handler threw something else, at as many tries as there are
 * - `crash`: its process ended while it was handled
 * - `failed`: its handler threw something else when an operator replayed it; it has been tried less often than
 *   `retries-exhausted` says
 * - `blocked`: not tried yet, because an earlier message of its key is parked
 */
export const deadLetterReasons = [
  "undecodable",
  "unknown-type",
  "newer-version",
  "wrong-topic",
  "wrong-source",
  "wrong-key",
  "schema",
  "too-old",
  "domain",
  "handler-error",
  "retries-exhausted",
  "crash",
  "failed",
  "blocked",
] as const;
export type DeadLetterReason = (typeof deadLetterReasons)[number];

export interface Failure {
  readonly reason: DeadLetterReason;
  /** For an operator to act on. */
  readonly error: string;
  readonly stack?: string;
  /** How often the message has been tried. */
  readonly attempts: number;
}

/** A topic and key whose messages are parked one after the other. */
export interface BlockedKey {
  readonly topic: string;
  readonly key: string;
}

export interface DeadLetter extends Failure {
  readonly id: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** As it was read. */
  readonly value: Uint8Array | null;
  /** What an operator replaced it with. */
  readonly edited: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Key and headers in bytes, where they are not text. */
  readonly exact?: ExactText;
  /** How often an operator replayed it. */
  readonly replays: number;
  /** Milliseconds since the epoch. */
  readonly parkedAt: number;
}

/** ExactBytes, as base64. */
export interface ExactText {
  readonly key: string | null;
  readonly headers: readonly (readonly [name: string, value: string | null])[];
}

/** A row of `dead_letters`, selected by DEAD_LETTER_COLUMNS. */
export type DeadLetterRow = Omit<DeadLetter, "headers" | "stack" | "exact"> & {
  headers: string;
  stack: string | null;
  exact: string | null;
};

export const DEAD_LETTER_COLUMNS = `id, topic, partition, offset, key, value, edited, headers, exact, reason, error, stack,
  attempts, replays, parked_at AS parkedAt`;

/** The record of a dead letter with the value that is handled: the edited one, if there is one. */
export function asEdited(letter: DeadLetter): ReadRecord & RecordPosition {
  return { ...letter, value: letter.edited ?? letter.value };
}

export function toDeadLetter({ headers, stack, exact, ...row }: DeadLetterRow): DeadLetter {
  return {
    ...row,
    headers: JSON.parse(headers) as Record<string, string>,
    ...(stack === null ? {} : { stack }),
    ...(exact === null ? {} : { exact: JSON.parse(exact) as ExactText }),
  };
}

/** Longer texts are cut. */
const MAX_ERROR_CHARACTERS = 2_000;
/** A longer key, or longer headers, are left out of the copy: the broker could refuse it and block the outbox. */
const MAX_COPIED_BYTES = 32 * 1024;
/** With so many the consumer waits instead of parking more. With MAX_MESSAGE_BYTES this is at most some 25 GB. */
const MAX_LETTERS = 100_000;
/**
 * With so many of one topic and key, the consumer waits, too: one key must not use up the space of all. Its whole
 * partition waits, because the records behind it cannot be handled before it.
 */
const MAX_LETTERS_OF_KEY = 10_000;
/** Keys whose number of dead letters is remembered. */
const MAX_COUNTED_KEYS = 1_000;
/** Messages that block nothing are kept to be looked at, so the newest of them suffice. */
const MAX_FOREIGN = 10_000;

/**
 * These block nothing: no service that emits messages of the key sent them, so the order of the key does not need them,
 * and whoever may write to the topic could otherwise block any key of it.
 */
const FOREIGN: ReadonlySet<DeadLetterReason> = new Set([
  "unknown-type",
  "wrong-topic",
  "wrong-source",
  "wrong-key",
]);
const IS_FOREIGN = "reason IN ('unknown-type', 'wrong-topic', 'wrong-source', 'wrong-key')";
/** As in the index `dead_letter_keys`. */
const BLOCKING = `key IS NOT NULL AND NOT (${IS_FOREIGN})`;

/**
 * Messages that could not be handled, as they were read, with the place where they stood and the reason.
 *
 * Parking keeps the order of a key: while a message of a topic and key is parked, later ones of that key are blocked,
 * that is, parked after it. All other keys are handled.
 */
export class DeadLetterStore {
  /** Dead letters that block nothing and were deleted because there were too many, since the start of the process. */
  dropped = 0;
  readonly #copyTopic: string;
  readonly #statements;
  /** Not less than the number of dead letters: when it is 0, the usual case, nothing has to be looked up. */
  #atMost: number;
  /** Not less than the number of dead letters of a topic and key. */
  readonly #atMostOfKey = new Map<string, number>();

  /** @param copyTopic gets a copy of each parked record, for people who look at topics */
  constructor({ sql }: ServiceDatabase, copyTopic: string) {
    this.#copyTopic = copyTopic;
    this.#statements = {
      insert: sql.prepare(
        `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, exact, reason, error, stack, attempts, parked_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      count: sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM dead_letters"),
      countByReason: sql.prepare<{ reason: DeadLetterReason; count: number }, []>(
        "SELECT reason, count(*) AS count FROM dead_letters GROUP BY reason",
      ),
      // `+?`: of a plain one beside an ORDER BY, SQLite prepares the statement anew whenever a value is bound.
      first: sql.prepare<{ id: number }, [string, string]>(
        `SELECT id FROM dead_letters WHERE topic = +? AND key = +? AND ${BLOCKING} ORDER BY id LIMIT 1`,
      ),
      countOfKey: sql.prepare<{ count: number }, [string, string]>(
        `SELECT count(*) AS count FROM dead_letters WHERE topic = ? AND key = ? AND ${BLOCKING}`,
      ),
      find: sql.prepare<DeadLetterRow, [number]>(
        `SELECT ${DEAD_LETTER_COLUMNS} FROM dead_letters WHERE id = ?`,
      ),
      firstBlocked: sql.prepare<{ parkedAt: number }, []>(
        "SELECT parked_at AS parkedAt FROM dead_letters WHERE reason = 'blocked' ORDER BY id LIMIT 1",
      ),
      newer: sql.prepare<DeadLetterRow, [number, number]>(
        `SELECT ${DEAD_LETTER_COLUMNS} FROM dead_letters WHERE reason = 'newer-version' AND id > ? ORDER BY id LIMIT ?`,
      ),
      toRelease: sql.prepare(
        "UPDATE dead_letters SET reason = 'blocked' WHERE id = ? AND reason = 'newer-version'",
      ),
      oldest: sql.prepare<{ parkedAt: number }, []>(
        "SELECT parked_at AS parkedAt FROM dead_letters ORDER BY id LIMIT 1",
      ),
      remove: sql.prepare("DELETE FROM dead_letters WHERE id = ?"),
      fail: sql.prepare(
        "UPDATE dead_letters SET reason = ?, error = ?, stack = ?, attempts = ? WHERE id = ?",
      ),
      tried: sql.prepare("UPDATE dead_letters SET attempts = ? WHERE id = ?"),
      edit: sql.prepare("UPDATE dead_letters SET edited = ? WHERE id = ?"),
      replayed: sql.prepare("UPDATE dead_letters SET replays = replays + 1 WHERE id = ?"),
      unblocked: sql.prepare<BlockedKey, []>(
        `SELECT topic, key FROM dead_letters AS letter WHERE reason = 'blocked' AND NOT EXISTS (
           SELECT 1 FROM dead_letters AS before
           WHERE before.topic = letter.topic AND before.key = letter.key AND before.id < letter.id
             AND before.key IS NOT NULL AND NOT (before.${IS_FOREIGN})
         ) ORDER BY id`,
      ),
      prune: sql.prepare(
        `DELETE FROM dead_letters WHERE ${IS_FOREIGN} AND id <= (
           SELECT id FROM dead_letters WHERE ${IS_FOREIGN} ORDER BY id DESC LIMIT 1 OFFSET ${MAX_FOREIGN}
         )`,
      ),
    };
    this.#atMost = this.count();
  }

  /** Stores a record, in the transaction that moves the offset past it. @throws DeadLettersFull */
  park(record: IncomingRecord, failure: Failure, transaction: Transaction): void {
    if (this.#atMost >= MAX_LETTERS) {
      this.#atMost = this.count();
      if (this.#atMost >= MAX_LETTERS) throw fullOf(`${this.#atMost} dead letters`);
    }
    const { reason, attempts } = failure;
    const { topic, partition, offset, key, value, headers, exact } = record;
    if (key !== null && !FOREIGN.has(reason)) this.#countOne(topic, key);
    this.#atMost += 1;
    this.#statements.insert.run(
      ...[topic, partition, offset, key, value, JSON.stringify(headers)],
      exact === undefined ? null : JSON.stringify(toText(exact)),
      ...[reason, ...shortened(failure), attempts, transaction.now],
    );
    transaction.emitRaw(copyOf(record, failure, this.#copyTopic));
  }

  /** @throws DeadLettersFull */
  #countOne(topic: string, key: string): void {
    // A topic's name has no slash.
    const name = `${topic}/${key}`;
    const count = () => this.#statements.countOfKey.get(topic, key)?.count ?? 0;
    let atMost = this.#atMostOfKey.get(name) ?? count();
    // Those that were removed, or whose parking was rolled back, are still counted.
    if (atMost >= MAX_LETTERS_OF_KEY) atMost = count();
    if (atMost >= MAX_LETTERS_OF_KEY) {
      this.#atMostOfKey.set(name, atMost);
      throw fullOf(`${atMost} dead letters of ${topic} with the key ${key}`);
    }
    if (this.#atMostOfKey.size >= MAX_COUNTED_KEYS) this.#atMostOfKey.clear();
    this.#atMostOfKey.set(name, atMost + 1);
  }

  /** Whether a message of this topic and key is parked, so that the next one is blocked. */
  blocks(topic: string, key: string | null): boolean {
    return this.#atMost > 0 && key !== null && this.#statements.first.get(topic, key) !== null;
  }

  /** The dead letter that blocks this one; itself if none does. */
  firstOfKey({ id, topic, key, reason }: DeadLetter): number {
    if (key === null || FOREIGN.has(reason)) return id;
    return this.#statements.first.get(topic, key)?.id ?? id;
  }

  /** How many messages of its topic and key are parked, itself included. */
  countOfKey({ topic, key, reason }: DeadLetter): number {
    if (key === null || FOREIGN.has(reason)) return 1;
    return this.#statements.countOfKey.get(topic, key)?.count ?? 1;
  }

  find(id: number): DeadLetter | undefined {
    const row = this.#statements.find.get(id);
    return row === null ? undefined : toDeadLetter(row);
  }

  /** @throws DeadLetterRefusal not-found */
  existing(id: number): DeadLetter {
    const letter = this.find(id);
    if (letter === undefined) throw new DeadLetterRefusal("not-found", `there is no dead letter ${id}`);
    return letter;
  }

  /** The topics and keys whose first dead letter is blocked by none any more. Looks at every blocked one. */
  unblockedKeys(): BlockedKey[] {
    return this.#atMost === 0 ? [] : this.#statements.unblocked.all();
  }

  /** The first dead letter of a topic and key if it is only blocked, that is, if it is to be released. */
  firstBlocked({ topic, key }: BlockedKey): DeadLetter | undefined {
    const first = this.#statements.first.get(topic, key);
    const letter = first === null ? undefined : this.find(first.id);
    return letter?.reason === "blocked" ? letter : undefined;
  }

  /** When the first of them was parked, in milliseconds since the epoch. */
  oldestAt(): number | undefined {
    return this.#statements.oldest.get()?.parkedAt;
  }

  /** When the first of the messages that are blocked was parked, in milliseconds since the epoch. */
  firstBlockedAt(): number | undefined {
    return this.#atMost === 0 ? undefined : this.#statements.firstBlocked.get()?.parkedAt;
  }

  /** Those that wait for a newer version, beginning after an id. */
  waitingForNewer(after: number, limit: number): DeadLetter[] {
    return this.#atMost === 0 ? [] : this.#statements.newer.all(after, limit).map(toDeadLetter);
  }

  /** Lets one follow when nothing blocks it, as if it had only been blocked. */
  setToRelease(id: number): void {
    this.#statements.toRelease.run(id);
  }

  remove(id: number): void {
    this.#statements.remove.run(id);
  }

  /** Records why a dead letter could not be handled this time. */
  fail(id: number, failure: Failure): void {
    this.#statements.fail.run(failure.reason, ...shortened(failure), failure.attempts, id);
  }

  /** Records how often a dead letter has been tried; the reason why it is parked stays. */
  setAttempts(id: number, attempts: number): void {
    this.#statements.tried.run(attempts, id);
  }

  edit(id: number, value: Uint8Array): void {
    this.#statements.edit.run(value, id);
  }

  countReplay(id: number): void {
    this.#statements.replayed.run(id);
  }

  /** Deletes the oldest dead letters that block nothing beyond MAX_FOREIGN. @returns how many */
  prune(): number {
    return this.#atMost > MAX_FOREIGN ? this.#statements.prune.run().changes : 0;
  }

  count(): number {
    return this.#statements.count.get()?.count ?? 0;
  }

  /** The number of dead letters for each reason that there are any for. */
  countByReason(): Map<DeadLetterReason, number> {
    return new Map(this.#statements.countByReason.all().map(({ reason, count }) => [reason, count]));
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}

function toText({ key, headers }: ExactBytes): ExactText {
  const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("base64"));
  return {
    key: text(key),
    headers: headers.map(([name, value]) => [Buffer.from(name).toString("base64"), text(value)]),
  };
}

function fullOf(what: string): DeadLettersFull {
  return new DeadLettersFull(
    `there are ${what}: replay or discard some, and the partition goes on by itself`,
  );
}

function shortened({ error, stack }: Failure): [string, string | null] {
  return [error.slice(0, MAX_ERROR_CHARACTERS), stack?.slice(0, MAX_ERROR_CHARACTERS) ?? null];
}

/** The record with the reason in its headers, cut to what the broker takes. */
function copyOf(record: IncomingRecord, failure: Failure, topic: string): OutgoingRecord {
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
