import type { SQLQueryBindings } from "bun:sqlite";
import { AuditLog, type RecordedAction } from "../audit-log.ts";
import type { Message, Trace } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import { DeadLetterRefusal } from "../errors.ts";
import type { Inbox } from "../inbox/inbox.ts";
import type { Runtime } from "../runtime.ts";
import type { Transaction, UnitOfWork } from "../unit-of-work.ts";
import type { DeadLetterReplayer } from "./replay.ts";
import {
  asEdited,
  DEAD_LETTER_COLUMNS,
  type DeadLetter,
  type DeadLetterReason,
  type DeadLetterRow,
  type DeadLetterStore,
  toDeadLetter,
} from "./store.ts";

/** Dead letters that one request replays. */
export const MAX_BULK = 1_000;
/** A message that was replayed so often needs other code, not another replay. */
export const MAX_REPLAYS = 10;

/** What to look for. All that is given must hold. */
export interface DeadLetterFilter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: DeadLetterReason;
  /** A part of the error's text. */
  readonly error?: string;
  /** Parked at least so long ago, in milliseconds. */
  readonly olderThanMs?: number;
  /** With a higher id than this: the last one of the page before. */
  readonly after?: number;
  readonly limit: number;
}

/** A dead letter without its bytes: a page of them is small, however large the messages are. */
export interface DeadLetterSummary
  extends Pick<
    DeadLetter,
    "id" | "topic" | "partition" | "offset" | "key" | "reason" | "error" | "attempts" | "replays" | "parkedAt"
  > {
  /** Whether an operator replaced the bytes. */
  readonly edited: boolean;
  /** The length of the value as it was read. */
  readonly bytes: number;
}

const SUMMARY = `id, topic, partition, offset, key, reason, error, attempts, replays, parked_at AS parkedAt,
  edited IS NOT NULL AS edited, coalesce(length(value), 0) AS bytes`;

/** A dead letter with all that is known of it. */
export interface DeadLetterDetails extends DeadLetter {
  /** What its bytes, as edited, contain: a message, or what is wrong with them. */
  readonly decoded: { readonly message: Message } | { readonly problem: string };
  /** How many messages of its topic and key are parked, itself included. */
  readonly parkedOfKey: number;
  readonly actions: readonly DeadLetterAction[];
}

/** Who did what to a dead letter. */
export type DeadLetterAction = RecordedAction<"edit" | "replay" | "discard">;

/** What a replay did, or would do. */
export interface ReplayResult {
  readonly id: number;
  readonly outcome: "handled" | "duplicate" | "skipped" | "failed" | "refused" | "would-replay";
  readonly detail?: string;
  /** Why it was refused. */
  readonly refusal?: DeadLetterRefusal["code"];
}

/** What operators do with dead letters: list, show, edit, replay, discard. Every change is recorded with its actor. */
export class DeadLetterAdmin {
  readonly #options;
  readonly #auditLog: AuditLog<DeadLetterAction["action"]>;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly deadLetters: DeadLetterStore;
    readonly replayer: DeadLetterReplayer;
    readonly inbox: Inbox;
    readonly unitOfWork: UnitOfWork;
    readonly runtime: Runtime;
  }) {
    this.#options = options;
    this.#auditLog = new AuditLog(options.database, "dead_letter_actions", "letter_id");
  }

  /** Dead letters that match, oldest first. */
  list(filter: DeadLetterFilter): DeadLetter[] {
    return this.#select<DeadLetterRow>(DEAD_LETTER_COLUMNS, this.#conditions(filter), filter.limit).map(
      toDeadLetter,
    );
  }

  /** The same without their bytes. */
  summaries(filter: DeadLetterFilter): DeadLetterSummary[] {
    const rows = this.#select<Omit<DeadLetterSummary, "edited"> & { edited: 0 | 1 }>(
      SUMMARY,
      this.#conditions(filter),
      filter.limit,
    );
    return rows.map((row) => ({ ...row, edited: row.edited === 1 }));
  }

  /**
   * Which dead letters to replay when all that match are to be. Not those that are only blocked, which follow by
   * themselves, unless the filter names that reason.
   *
   * @returns the oldest `filter.limit` ids, and how many more there are
   */
  candidates(filter: DeadLetterFilter): { readonly ids: number[]; readonly left: number } {
    const conditions = this.#conditions(filter);
    if (filter.reason === undefined) conditions.push(["reason <> ?", "blocked"]);
    const ids = this.#select<{ id: number }>("id", conditions, filter.limit).map(({ id }) => id);
    const [row] = this.#select<{ count: number }>("count(*) AS count", conditions, 1);
    return { ids, left: (row?.count ?? 0) - ids.length };
  }

  /** @throws DeadLetterRefusal not-found */
  show(id: number): DeadLetterDetails {
    const { deadLetters, inbox } = this.#options;
    const letter = deadLetters.existing(id);
    const decoded = inbox.decode(asEdited(letter));
    return {
      ...letter,
      decoded: decoded.status === "decoded" ? { message: decoded.message } : { problem: decoded.detail },
      parkedOfKey: deadLetters.countOfKey(letter),
      actions: this.#auditLog.of(id),
    };
  }

  /**
   * Replaces the bytes that are handled; those that were read are kept. The new ones must be a valid message of the
   * same topic and key.
   *
   * @throws DeadLetterRefusal not-found, edit-invalid
   */
  edit(id: number, value: Uint8Array, actor: string): Promise<void> {
    const { deadLetters, inbox, unitOfWork } = this.#options;
    return unitOfWork.run((transaction) => {
      const decoded = inbox.decode({ ...deadLetters.existing(id), value });
      if (decoded.status === "rejected") throw new DeadLetterRefusal("edit-invalid", decoded.detail);
      deadLetters.edit(id, value);
      this.#auditLog.record(id, "edit", actor, `${value.byteLength} bytes`, transaction);
    });
  }

  /**
   * Deletes a dead letter; the messages that it blocked are released. Its id counts as handled from now on: a second
   * copy of the message, which a repeated send stored behind it, has no effect.
   *
   * @throws DeadLetterRefusal not-found
   */
  async discard(id: number, reason: string, actor: string): Promise<void> {
    const { deadLetters, inbox, unitOfWork, replayer } = this.#options;
    const discarded = await unitOfWork.run((transaction) => {
      const letter = deadLetters.existing(id);
      const { topic, partition, offset, key } = letter;
      for (const record of [letter, asEdited(letter)]) inbox.claim(record, transaction);
      deadLetters.remove(id);
      const what = `${topic}/${partition}/${offset} key ${key ?? "(none)"}`;
      this.#auditLog.record(id, "discard", actor, `${reason} [${what}]`, transaction);
      return letter;
    });
    replayer.release([discarded]);
  }

  /**
   * Replays dead letters, each as one effect: one that is refused or fails does not keep the others from being tried.
   * The messages that they blocked are released afterwards; that is not waited for, as there may be many.
   *
   * @param ids the first MAX_BULK of them are replayed
   * @param dryRun reports what would be tried, and changes nothing
   * @param requestedBy the request: the spans of what is handled link to it
   * @throws StorageError when the disk fails; what was replayed before stays replayed
   */
  async replay(
    ids: readonly number[],
    actor: string,
    dryRun = false,
    requestedBy?: Trace,
  ): Promise<ReplayResult[]> {
    const results: ReplayResult[] = [];
    const tried: DeadLetter[] = [];
    try {
      for (const id of ids.slice(0, MAX_BULK)) {
        try {
          tried.push(this.#options.deadLetters.existing(id));
          results.push(dryRun ? this.#wouldReplay(id) : await this.#replay(id, actor, requestedBy));
        } catch (error) {
          if (!(error instanceof DeadLetterRefusal)) throw error;
          results.push({ id, outcome: "refused", detail: error.message, refusal: error.code });
        }
      }
    } finally {
      if (!dryRun) this.#options.replayer.release(tried);
    }
    return results;
  }

  async #replay(id: number, actor: string, requestedBy: Trace | undefined): Promise<ReplayResult> {
    const { deadLetters, unitOfWork, replayer } = this.#options;
    // In a unit of work of its own: it counts even if the process ends while the message is handled.
    await unitOfWork.run(() => deadLetters.countReplay(this.#replayable(id).id));
    const audit = (detail: string, transaction: Transaction) =>
      this.#auditLog.record(id, "replay", actor, detail, transaction);
    const decision = await replayer.replay(id, audit, requestedBy);
    switch (decision?.action) {
      case "ack":
        return { id, outcome: decision.handled.status };
      case "retry":
      case "park":
        return { id, outcome: "failed", detail: decision.failure.error };
      default:
        throw new DeadLetterRefusal("not-found", `there is no dead letter ${id}`);
    }
  }

  #wouldReplay(id: number): ReplayResult {
    const letter = this.#replayable(id);
    const decoded = this.#options.inbox.decode(asEdited(letter));
    if (decoded.status === "rejected") return { id, outcome: "failed", detail: decoded.detail };
    const blocked = this.#options.deadLetters.countOfKey(letter) - 1;
    return { id, outcome: "would-replay", detail: `${decoded.message.type}, blocks ${blocked} messages` };
  }

  /** @throws DeadLetterRefusal not-found, blocked, replayed-too-often */
  #replayable(id: number): DeadLetter {
    const { deadLetters } = this.#options;
    const letter = deadLetters.existing(id);
    const first = deadLetters.firstOfKey(letter);
    if (first !== id) throw new DeadLetterRefusal("blocked", `${id} is blocked by ${first}`);
    if (letter.replays >= MAX_REPLAYS) {
      throw new DeadLetterRefusal("replayed-too-often", `${id} was replayed ${letter.replays} times`);
    }
    return letter;
  }

  #conditions(filter: DeadLetterFilter): Condition[] {
    const { olderThanMs } = filter;
    const parkedBefore = olderThanMs === undefined ? undefined : this.#options.runtime.now() - olderThanMs;
    const conditions: [string, SQLQueryBindings | undefined][] = [
      ["topic = ?", filter.topic],
      ["key = ?", filter.key],
      ["reason = ?", filter.reason],
      ["instr(error, ?) > 0", filter.error],
      ["parked_at <= ?", parkedBefore],
      ["id > ?", filter.after],
    ];
    return conditions.filter((condition): condition is Condition => condition[1] !== undefined);
  }

  #select<Row>(columns: string, conditions: readonly Condition[], limit: number): Row[] {
    const where = conditions.map(([sql]) => sql).join(" AND ") || "TRUE";
    using statement = this.#options.database.sql.prepare<Row, SQLQueryBindings[]>(
      `SELECT ${columns} FROM dead_letters WHERE ${where} ORDER BY id LIMIT ?`,
    );
    return statement.all(...conditions.map(([, value]) => value), limit);
  }

  close(): void {
    this.#auditLog.close();
  }
}

type Condition = [sql: string, value: SQLQueryBindings];
