import type { SQLQueryBindings } from "bun:sqlite";
import type { ServiceDatabase } from "../database.ts";
import {
  COLUMNS,
  type DeadLetter,
  type DeadLetterReason,
  type DeadLetterRow,
  toLetter,
} from "./dead-letter.ts";

/** What to look for; everything that is given must hold. */
export interface DeadLetterFilter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: DeadLetterReason;
  /** A piece of the error's text. */
  readonly error?: string;
  /** Parked at least so long ago, in milliseconds. */
  readonly olderThanMs?: number;
  /** Only those with a higher id: the last one of the page before. */
  readonly after?: number;
  readonly limit: number;
}

/** A letter without its bytes: a page of these is small, however large the messages are. */
export interface DeadLetterSummary
  extends Pick<
    DeadLetter,
    "id" | "topic" | "partition" | "offset" | "key" | "reason" | "error" | "attempts" | "replays" | "parkedAt"
  > {
  /** Whether an operator put other bytes in the place of those that came. */
  readonly edited: boolean;
  /** How long the value is, as it came. */
  readonly bytes: number;
}

const SUMMARY = `id, topic, partition, offset, key, reason, error, attempts, replays, parked_at AS parkedAt,
  edited IS NOT NULL AS edited, coalesce(length(value), 0) AS bytes`;

/** Looks dead letters up for people; what messages need is in `DeadLetters`. */
export class DeadLetterQueries {
  readonly #sql;

  constructor({ sql }: ServiceDatabase) {
    this.#sql = sql;
  }

  /** Oldest first. */
  list(filter: DeadLetterFilter, nowMs: number): DeadLetter[] {
    return this.#select<DeadLetterRow>(COLUMNS, conditionsOf(filter, nowMs), filter.limit).map(toLetter);
  }

  /** Oldest first. */
  summaries(filter: DeadLetterFilter, nowMs: number): DeadLetterSummary[] {
    const rows = this.#select<Omit<DeadLetterSummary, "edited"> & { edited: 0 | 1 }>(
      SUMMARY,
      conditionsOf(filter, nowMs),
      filter.limit,
    );
    return rows.map((row) => ({ ...row, edited: row.edited === 1 }));
  }

  /** The oldest that match and, unless the filter names a reason, wait behind no other; and how many more do. */
  candidates(filter: DeadLetterFilter, nowMs: number): { ids: number[]; left: number } {
    const conditions = conditionsOf(filter, nowMs);
    if (filter.reason === undefined) conditions.push(["reason <> ?", "blocked"]);
    const ids = this.#select<{ id: number }>("id", conditions, filter.limit).map(({ id }) => id);
    const [row] = this.#select<{ count: number }>("count(*) AS count", conditions, 1);
    return { ids, left: (row?.count ?? 0) - ids.length };
  }

  #select<Row>(columns: string, conditions: readonly Condition[], limit: number): Row[] {
    const where = conditions.map(([sql]) => sql).join(" AND ") || "TRUE";
    using statement = this.#sql.prepare<Row, SQLQueryBindings[]>(
      `SELECT ${columns} FROM dead_letters WHERE ${where} ORDER BY id LIMIT ?`,
    );
    return statement.all(...conditions.map(([, value]) => value), limit);
  }
}

type Condition = [sql: string, value: SQLQueryBindings];

function conditionsOf(filter: DeadLetterFilter, nowMs: number): Condition[] {
  const conditions: [string, SQLQueryBindings | undefined][] = [
    ["topic = ?", filter.topic],
    ["key = ?", filter.key],
    ["reason = ?", filter.reason],
    ["instr(error, ?) > 0", filter.error],
    ["parked_at <= ?", filter.olderThanMs === undefined ? undefined : nowMs - filter.olderThanMs],
    ["id > ?", filter.after],
  ];
  return conditions.filter((condition): condition is Condition => condition[1] !== undefined);
}
