import type { ServiceDatabase } from "../database.ts";
import type { Transaction } from "../transaction.ts";

export interface RecordedAction {
  readonly action: "edit" | "replay" | "discard";
  readonly actor: string;
  readonly detail: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** The newest actions are kept, about a hundred bytes each. */
const MAX_ACTIONS = 100_000;
const MAX_DETAIL_CHARACTERS = 500;

/** Who did what to which dead letter, and why. */
export class DeadLetterAudit {
  readonly #statements;

  constructor({ sql }: ServiceDatabase) {
    this.#statements = {
      add: sql.prepare(
        "INSERT INTO dead_letter_actions (letter_id, action, actor, detail, at) VALUES (?, ?, ?, ?, ?)",
      ),
      forget: sql.prepare(
        `DELETE FROM dead_letter_actions WHERE id <= (SELECT max(id) FROM dead_letter_actions) - ${MAX_ACTIONS}`,
      ),
      of: sql.prepare<RecordedAction, [number]>(
        "SELECT action, actor, detail, at FROM dead_letter_actions WHERE letter_id = ? ORDER BY id LIMIT 100",
      ),
    };
  }

  /** Only inside a transaction: the one that does it. */
  add(
    letterId: number,
    action: RecordedAction["action"],
    actor: string,
    detail: string,
    { now }: Transaction,
  ) {
    this.#statements.add.run(letterId, action, actor, detail.slice(0, MAX_DETAIL_CHARACTERS), now);
    this.#statements.forget.run();
  }

  of(letterId: number): RecordedAction[] {
    return this.#statements.of.all(letterId);
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }
}
