import { AuditLog, type RecordedAction } from "../audit-log.ts";
import type { ServiceDatabase } from "../database.ts";
import { OutboxRefusal } from "../errors.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";
import type { Outbox } from "./outbox.ts";
import type { ParkedRecord, ParkedRecords, ParkedSummary } from "./parked.ts";

/** Topics and keys whose parked records one request sends again. */
export const MAX_RELEASED = 1_000;

/** Who did what to a parked outgoing record. */
export type OutboxAction = RecordedAction<"retry" | "drop">;

/** A parked outgoing record with all that is known of it. */
export interface ParkedDetails extends ParkedRecord {
  readonly actions: readonly OutboxAction[];
}

/**
 * What operators do with outgoing records that the broker refuses: list, show, retry, drop. Every change is recorded
 * with its actor.
 */
export class OutboxAdmin {
  readonly #options;
  readonly #auditLog: AuditLog<OutboxAction["action"]>;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly outbox: Outbox;
    readonly parked: ParkedRecords;
    readonly unitOfWork: UnitOfWork;
    /** Called when the outbox has records to send. */
    wake(): void;
  }) {
    this.#options = options;
    this.#auditLog = new AuditLog(options.database, "parked_outgoing_actions", "record_id");
  }

  /** Parked records, oldest first. */
  list(filter: {
    readonly topic?: string;
    readonly after?: number;
    readonly limit: number;
  }): ParkedSummary[] {
    return this.#options.parked.list(filter.topic, filter.after ?? 0, filter.limit);
  }

  /** @throws OutboxRefusal not-found */
  show(id: number): ParkedDetails {
    return { ...this.#existing(id), actions: this.actions(id) };
  }

  /** What was done to a record, also after it has been dropped or sent. */
  actions(id: number): OutboxAction[] {
    return this.#auditLog.of(id);
  }

  /**
   * Puts a parked record, and the later ones of its topic and key, back into the outbox, in their order. If the broker
   * refuses it again, they are parked again, with other ids.
   *
   * @throws OutboxRefusal not-found; blocked when an earlier record of its topic and key is parked
   */
  async retry(id: number, actor: string): Promise<void> {
    const { outbox, parked, unitOfWork, wake } = this.#options;
    await unitOfWork.run((transaction) => {
      const record = this.#existing(id);
      const first = parked.firstOfKey(record) ?? id;
      if (first !== id) throw new OutboxRefusal("blocked", `${id} is blocked by ${first}`);
      outbox.release(record);
      this.#record(record, "retry", actor, "", transaction);
    });
    wake();
  }

  /**
   * The same for all records, or for those of one topic: the first MAX_RELEASED keys of them.
   *
   * @returns how many keys were released
   */
  async retryAll(topic: string | undefined, actor: string): Promise<number> {
    const { outbox, parked, unitOfWork, wake } = this.#options;
    const count = await unitOfWork.run((transaction) => {
      const ids = parked.firsts(topic, MAX_RELEASED);
      for (const id of ids) {
        const record = this.#existing(id);
        outbox.release(record);
        this.#record(record, "retry", actor, "with others", transaction);
      }
      return ids.length;
    });
    wake();
    return count;
  }

  /**
   * Deletes a parked record. It is never sent. If it was the first of its topic and key, the later ones go back into
   * the outbox.
   *
   * @throws OutboxRefusal not-found
   */
  async drop(id: number, reason: string, actor: string): Promise<void> {
    const { outbox, parked, unitOfWork, wake } = this.#options;
    await unitOfWork.run((transaction) => {
      const record = this.#existing(id);
      const isFirst = (parked.firstOfKey(record) ?? id) === id;
      parked.remove(id);
      if (isFirst) outbox.release(record);
      this.#record(record, "drop", actor, reason, transaction);
    });
    wake();
  }

  #existing(id: number): ParkedRecord {
    const record = this.#options.parked.get(id);
    if (record === undefined)
      throw new OutboxRefusal("not-found", `there is no parked outgoing record ${id}`);
    return record;
  }

  #record(
    { id, topic, key }: ParkedSummary,
    action: OutboxAction["action"],
    actor: string,
    reason: string,
    transaction: Transaction,
  ): void {
    const detail = `${reason} [${topic} key ${key ?? "(none)"}]`.trim();
    this.#auditLog.record(id, action, actor, detail, transaction);
  }

  close(): void {
    this.#auditLog.close();
  }
}
