import type { SQLQueryBindings } from "bun:sqlite";
import type { ServiceDatabase } from "./database.ts";
import { COLUMNS, type DeadLetter, type DeadLetterRow, type Reason, toLetter } from "./dead-letters.ts";

/** What to look for; everything that is given must hold. */
export interface DeadLetterFilter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: Reason;
  /** A piece of the error's text. */
  readonly error?: string;
  /** Parked at least so long ago, in milliseconds. */
  readonly olderThanMs?: number;
  /** Only those with a higher id: the last one of the page before. */
  readonly after?: number;
  readonly limit: number;
}

/** Looks dead letters up for people; what messages need is in `DeadLetters`. */
export class DeadLetterQueries {
  readonly #sql;

  constructor({ sql }: ServiceDatabase) {
    this.#sql = sql;
  }

  /** Oldest first. */
  list(filter: DeadLetterFilter, nowMs: number): DeadLetter[] {
    const conditions: [string, SQLQueryBindings | undefined][] = [
      ["topic = ?", filter.topic],
      ["key = ?", filter.key],
      ["reason = ?", filter.reason],
      ["instr(error, ?) > 0", filter.error],
      ["parked_at <= ?", filter.olderThanMs === undefined ? undefined : nowMs - filter.olderThanMs],
      ["id > ?", filter.after],
    ];
    const given = conditions.filter(
      (condition): condition is [string, SQLQueryBindings] => condition[1] !== undefined,
    );
    const where = given.map(([sql]) => sql).join(" AND ") || "TRUE";
    const statement = this.#sql.prepare<DeadLetterRow, SQLQueryBindings[]>(
      `SELECT ${COLUMNS} FROM dead_letters WHERE ${where} ORDER BY id LIMIT ?`,
    );
    try {
      return statement.all(...given.map(([, value]) => value), filter.limit).map(toLetter);
    } finally {
      statement.finalize();
    }
  }
}
