import type { ServiceDatabase } from "./database.ts";
import type { Transaction } from "./unit-of-work.ts";

/** The newest recorded actions are kept, about a hundred bytes each. */
const MAX_ACTIONS = 100_000;
const MAX_DETAIL_CHARACTERS = 500;

/** What an operator did. */
export interface RecordedAction<Action extends string = string> {
  readonly action: Action;
  readonly actor: string;
  readonly detail: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What operators did to the rows of a table, also to those that are gone. */
export class AuditLog<Action extends string> {
  readonly #statements;

  /**
   * @param table of the actions
   * @param subject its column with the id of the row that the action was about
   */
  constructor({ sql }: ServiceDatabase, table: string, subject: string) {
    this.#statements = {
      record: sql.prepare(
        `INSERT INTO ${table} (${subject}, action, actor, detail, at) VALUES (?, ?, ?, ?, ?)`,
      ),
      prune: sql.prepare(`DELETE FROM ${table} WHERE id <= (SELECT max(id) FROM ${table}) - ${MAX_ACTIONS}`),
      of: sql.prepare<RecordedAction<Action>, [number]>(
        `SELECT action, actor, detail, at FROM ${table} WHERE ${subject} = ? ORDER BY id LIMIT 100`,
      ),
    };
  }

  /** Records an action in the transaction that does it. A longer detail is cut. */
  record(id: number, action: Action, actor: string, detail: string, { now }: Transaction): void {
    this.#statements.record.run(id, action, actor, detail.slice(0, MAX_DETAIL_CHARACTERS), now);
    this.#statements.prune.run();
  }

  /** The first hundred actions on a row. */
  of(id: number): RecordedAction<Action>[] {
    return this.#statements.of.all(id);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}
