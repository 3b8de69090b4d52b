import { AuditLog, type RecordedAction } from "../audit-log.ts";
import type { ServiceDatabase } from "../database.ts";
import { EffectRefusal } from "../errors.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";

/** Dead effects that one request retries. */
export const MAX_RETRIED = 1_000;

/** An effect that failed too often, or can never succeed. */
export interface DeadEffect {
  readonly id: number;
  /** Its idempotency key. */
  readonly key: string;
  readonly name: string;
  readonly error: string;
  /** Tries since it was enqueued or retried. */
  readonly attempts: number;
  /** How often an operator let it be tried again. */
  readonly retries: number;
  /** Milliseconds since the epoch. */
  readonly enqueuedAt: number;
}

/** Who did what to a dead effect. */
export type EffectAction = RecordedAction<"retry" | "discard">;

/** A dead effect with all that is known of it. */
export interface DeadEffectDetails extends DeadEffect {
  readonly input: unknown;
  readonly actions: readonly EffectAction[];
}

const COLUMNS = "id, key, name, error, attempts, retries, enqueued_at AS enqueuedAt";

/** What operators do with dead effects: list, show, retry, discard. Every change is recorded with its actor. */
export class EffectAdmin {
  readonly #unitOfWork: UnitOfWork;
  readonly #wake: () => void;
  readonly #auditLog: AuditLog<EffectAction["action"]>;
  readonly #statements;

  /** @param options.wake called when effects are due */
  constructor(options: {
    readonly database: ServiceDatabase;
    readonly unitOfWork: UnitOfWork;
    wake(): void;
  }) {
    const { sql } = options.database;
    this.#unitOfWork = options.unitOfWork;
    this.#wake = () => options.wake();
    this.#auditLog = new AuditLog(options.database, "effect_actions", "effect_id");
    this.#statements = {
      list: sql.prepare<DeadEffect, [string | null, number, number]>(
        `SELECT ${COLUMNS} FROM durable_effects
         WHERE due_at IS NULL AND name = coalesce(?, name) AND id > ? ORDER BY id LIMIT ?`,
      ),
      find: sql.prepare<DeadEffect & { input: string }, [number]>(
        `SELECT ${COLUMNS}, input FROM durable_effects WHERE id = ? AND due_at IS NULL`,
      ),
      retry: sql.prepare(
        "UPDATE durable_effects SET due_at = ?, attempts = 0, retries = retries + 1 WHERE id = ?",
      ),
      remove: sql.prepare("DELETE FROM durable_effects WHERE id = ?"),
    };
  }

  /** Dead effects, oldest first. */
  list(filter: { readonly name?: string; readonly after?: number; readonly limit: number }): DeadEffect[] {
    return this.#statements.list.all(filter.name ?? null, filter.after ?? 0, filter.limit);
  }

  /** @throws EffectRefusal not-found */
  show(id: number): DeadEffectDetails {
    const { input, ...effect } = this.#existing(id);
    return { ...effect, input: JSON.parse(input), actions: this.#auditLog.of(id) };
  }

  /**
   * Lets a dead effect be tried again, under the same idempotency key and as often as a new one. If it succeeds, its
   * result is applied, also where the service has reacted to its failure before.
   *
   * @throws EffectRefusal not-found
   */
  async retry(id: number, actor: string): Promise<void> {
    await this.#unitOfWork.run((transaction) => this.#retry(id, actor, transaction));
    this.#wake();
  }

  /** The same for all dead effects, or for those of one name: the oldest MAX_RETRIED of them. @returns how many */
  async retryAll(name: string | undefined, actor: string): Promise<number> {
    const count = await this.#unitOfWork.run((transaction) => {
      const effects = this.#statements.list.all(name ?? null, 0, MAX_RETRIED);
      for (const { id } of effects) this.#retry(id, actor, transaction);
      return effects.length;
    });
    this.#wake();
    return count;
  }

  /** Deletes a dead effect: it is never performed. @throws EffectRefusal not-found */
  discard(id: number, reason: string, actor: string): Promise<void> {
    return this.#unitOfWork.run((transaction) => {
      const { name, key } = this.#existing(id);
      this.#statements.remove.run(id);
      this.#auditLog.record(id, "discard", actor, `${reason} [${name} ${key}]`, transaction);
    });
  }

  close(): void {
    this.#auditLog.close();
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #retry(id: number, actor: string, transaction: Transaction): void {
    const { error } = this.#existing(id);
    this.#statements.retry.run(transaction.now, id);
    this.#auditLog.record(id, "retry", actor, `after: ${error}`, transaction);
  }

  #existing(id: number): DeadEffect & { readonly input: string } {
    const effect = this.#statements.find.get(id);
    if (effect === null) throw new EffectRefusal(`there is no dead effect ${id}`);
    return effect;
  }
}
