import type { ServiceDatabase } from "./database.ts";
import type { IncomingRecord } from "./transport.ts";

/** Why a message could not be handled. */
export interface Failure {
  readonly reason: "undecodable" | "unknown-type" | "schema" | "domain" | "retries-exhausted";
  /** In words that an operator can act on. */
  readonly error: string;
  readonly stack?: string;
  /** How often it was tried. */
  readonly attempts: number;
}

/** Longer ones are cut: a dead letter explains, it does not archive. */
const MAX_ERROR_CHARACTERS = 2_000;

/** What could not be handled, kept as it came: bytes, headers, where it stood, and why. */
export class DeadLetters {
  readonly #insert;
  readonly #count;

  constructor(database: ServiceDatabase) {
    this.#insert = database.sql.prepare(
      `INSERT INTO dead_letters (topic, partition, offset, key, value, headers, reason, error, stack, attempts, parked_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#count = database.sql.prepare<{ count: number }, []>("SELECT count(*) AS count FROM dead_letters");
  }

  /** Keeps a record. Only inside a transaction, the one that moves the offset past it. */
  park(record: IncomingRecord, failure: Failure, nowMs: number): void {
    this.#insert.run(
      record.topic,
      record.partition,
      record.offset,
      record.key,
      record.value,
      JSON.stringify(record.headers),
      failure.reason,
      failure.error.slice(0, MAX_ERROR_CHARACTERS),
      failure.stack?.slice(0, MAX_ERROR_CHARACTERS) ?? null,
      failure.attempts,
      nowMs,
    );
  }

  count(): number {
    return this.#count.get()?.count ?? 0;
  }

  close(): void {
    this.#insert.finalize();
    this.#count.finalize();
  }
}
