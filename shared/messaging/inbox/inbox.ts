import type { ReadRecord } from "../contract/cloud-event.ts";
import { type Decoded, decode, type RejectionReason } from "../contract/decode.ts";
import { byType, type MessageDefinition } from "../contract/define.ts";
import type { Message, MessageOf, Trace } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import { byName, resultOfWork, UsageError } from "../errors.ts";
import type { Cause } from "../outbox/outbox.ts";
import type { Logger } from "../runtime.ts";
import { type StoredId, storedId, UUID } from "../stored-id.ts";
import { type Arrival, type Tracing, traceWithin, within } from "../tracing.ts";
import type { RecordPosition } from "../transport/transport.ts";
import type { Synchronous, Transaction } from "../unit-of-work.ts";
import { type Horizon, type OlderMessages, stampOf } from "./horizon.ts";
import { NewerTypes } from "./newer-types.ts";

/**
 * Handles a message in a transaction. Synchronous, and its result is ignored; all its effects are on the database and
 * the outbox.
 *
 * @param position where the message is, also of one that is replayed or read again for a rebuild
 * @throws DomainError when the message can never be handled; anything else when it may be later
 */
type Handle<M extends Message, Result> = (
  message: M,
  transaction: Transaction,
  position: RecordPosition,
) => Synchronous<Result>;

export interface Handler {
  readonly definition: MessageDefinition;
  readonly handle: Handle<Message, unknown>;
}

/** A handler for the messages of one definition, in its current version. */
export function on<Definition extends MessageDefinition, Result>(
  definition: Definition,
  handle: Handle<MessageOf<Definition>, Result>,
): Handler {
  // Sound: `decode` gives this handler only messages whose data the schema of the definition matches.
  return { definition, handle: handle as Handle<Message, unknown> };
}

/**
 * Runs around every handler, inside the transaction of the message: measures time, sets a context, translates errors.
 * Synchronous. It must call `next` exactly once, and cannot turn the failure of `next` into a success.
 */
export type Middleware = (
  message: Message,
  transaction: Transaction,
  next: () => void,
  // biome-ignore lint/suspicious/noConfusingVoidType: an asynchronous function could be assigned to `void` alone.
) => void | undefined;

/** A record that needs nothing more. `skipped`: a known message without a handler here. */
export interface Handled {
  readonly status: "handled" | "duplicate" | "skipped";
  readonly message: Message;
}

/** A record that is no valid message of a known type, or one of which nobody can say whether it was handled. */
export interface Rejected {
  readonly status: "rejected";
  readonly reason: RejectionReason | "too-old";
  readonly detail: string;
}

/** Whether a message of a log that is read anew was handled cannot be said: an operator has to decide. */
export class Unverifiable extends Error {
  override readonly name = "Unverifiable";
}

/** The oldest claims that are deleted at once, with others of the same time: few enough to commit with a group of messages. */
const PRUNE_SLICE = 500;

/** A time as the beginning of a stored UUID of version 7. @param ms in SQL, milliseconds since the epoch */
const asId = (ms: string) => `unhex(printf('%012x', ${ms}))`;
/** The condition of the index `inbox_by_time`. */
const INDEXED = `message_id NOT BETWEEN ${asId("handled_at - 3600000")} AND ${asId("handled_at + 60000")}`;
/** Where the others are of which some may have a stamp before a time. */
const UNINDEXED = `message_id BETWEEN (
    SELECT ${asId("max(pruned_to - 3600000, 0)")} FROM inbox_horizon
  ) AND ${asId("?1 + 60000")}`;

/** Deletes claims that a condition finds and whose stamp is before a time. @param column by which they are found */
function sliceOf(column: "message_id" | "handled_at", condition: string): string {
  const old = `FROM inbox WHERE ${condition} AND handled_at < ?1`;
  const slice = `SELECT ${column} ${old} ORDER BY ${column} LIMIT ${PRUNE_SLICE}`;
  return `DELETE ${old} AND ${column} <= (SELECT max(${column}) FROM (${slice}))`;
}

/**
 * The idempotent inbox, and the one way in which a message takes effect: decode, claim, handle. Messages that are
 * consumed, released and replayed all go through it. The claim is written in the transaction of the effect, so a
 * message that is delivered again finds it and does nothing.
 */
export class Inbox {
  /** The topics of the handlers' messages. */
  readonly topics: readonly string[];
  readonly #sql: ServiceDatabase["sql"];
  readonly #log: Logger;
  readonly #known: ReadonlyMap<string, MessageDefinition>;
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #middleware: readonly Middleware[];
  readonly #horizon: Horizon;
  readonly #tracing: Tracing | undefined;
  readonly #newerTypes: NewerTypes;
  readonly #claim;
  readonly #find;
  readonly #pruning;

  constructor(options: {
    readonly database: ServiceDatabase;
    readonly definitions: readonly MessageDefinition[];
    readonly handlers: readonly Handler[];
    readonly middleware: readonly Middleware[];
    readonly horizon: Horizon;
    readonly log: Logger;
    readonly tracing: Tracing | undefined;
  }) {
    const { database, handlers } = options;
    this.#sql = database.sql;
    this.#log = options.log;
    this.#middleware = options.middleware;
    this.#tracing = options.tracing;
    this.#known = byType(options.definitions);
    this.#handlers = byName("handlers of", handlers, ({ definition }) => definition.type);
    for (const { definition } of handlers) {
      if (this.#known.get(definition.type) === definition) continue;
      throw new UsageError(`the handler of ${definition.type} is for none of the definitions`);
    }
    this.topics = [...new Set(handlers.map(({ definition }) => definition.topic.name))];
    this.#claim = database.sql.prepare(
      "INSERT INTO inbox (message_id, handled_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
    );
    this.#horizon = options.horizon;
    this.#newerTypes = new NewerTypes(
      database,
      handlers.map(({ definition }) => definition),
    );
    this.#find = database.sql.prepare<{ found: number }, [StoredId]>(
      "SELECT 1 AS found FROM inbox WHERE message_id = ?",
    );
    this.#pruning = {
      byId: database.sql.prepare(sliceOf("message_id", UNINDEXED)),
      byTime: database.sql.prepare(sliceOf("handled_at", INDEXED)),
      done: database.sql.prepare("UPDATE inbox_horizon SET pruned_to = ?"),
    };
  }

  /** What a record contains, without handling it. */
  decode(record: ReadRecord): Decoded {
    const decoded = decode(this.#known, record);
    if (decoded.status === "decoded" || decoded.reason !== "unknown-type") return decoded;
    const detail = this.#newerTypes.detailOf(record);
    return detail === undefined ? decoded : { status: "rejected", reason: "newer-version", detail };
  }

  /**
   * @param older what happens to a message that is too old to be known; that it was handled is then claimed as usual
   * @param arrival for its span
   * @throws what the handler throws; UsageError when it is asynchronous; Unverifiable
   */
  handle(
    record: ReadRecord & RecordPosition,
    transaction: Transaction,
    older: OlderMessages = "handle",
    arrival: Arrival = {},
  ): Handled | Rejected {
    const decoded = this.decode(record);
    if (decoded.status === "rejected") return decoded;
    const { message } = decoded;
    const handler = this.#handlers.get(message.type);
    if (handler === undefined) return { status: "skipped", message };
    const tooOld = this.#refuseOlder(message, older);
    if (tooOld !== undefined) return tooOld;
    if (!this.#claimFor(message, transaction)) return { status: "duplicate", message };
    const span = this.#tracing?.process(message, record, arrival);
    const caused = transaction.causedBy(causeOf(message, traceWithin(span, message)));
    if (span === undefined) this.#run(handler, message, caused, record, 0);
    else {
      within(span, () => this.#run(handler, message, caused, record, 0));
      transaction.afterCommit(() => span.end());
    }
    return { status: "handled", message };
  }

  /** Records a message as handled without handling it. What is not accepted as one is left alone. */
  claim(record: ReadRecord, transaction: Transaction): void {
    const decoded = this.decode(record);
    if (decoded.status === "decoded") this.#claimFor(decoded.message, transaction);
  }

  /**
   * What can be said of a message without handling it: that it is not valid, was handled before, or is too old to be known.
   *
   * @throws Unverifiable
   */
  recognise(record: ReadRecord, older: OlderMessages): Handled | Rejected | undefined {
    const decoded = this.decode(record);
    if (decoded.status === "rejected") return decoded;
    const { message } = decoded;
    if (!this.#handlers.has(message.type)) return undefined;
    if (this.#isClaimed(message)) return { status: "duplicate", message };
    return this.#refuseOlder(message, older);
  }

  /** The type of a message; undefined when the record is no message that the service knows. */
  typeOf(record: ReadRecord): string | undefined {
    const decoded = this.decode(record);
    return decoded.status === "decoded" ? decoded.message.type : undefined;
  }

  /** The time of a message, in milliseconds since the epoch; undefined when the record has none. */
  timeOf(record: ReadRecord): number | undefined {
    const decoded = this.decode(record);
    return decoded.status === "decoded" ? Date.parse(decoded.message.time) : undefined;
  }

  /** The ids of a message, for logs; none when the record has no message. */
  idsOf(record: ReadRecord): { type?: string; messageId?: string; correlationId?: string } {
    const decoded = this.decode(record);
    if (decoded.status === "rejected") return {};
    const { type, id, correlationid } = decoded.message;
    return { type, messageId: id, correlationId: correlationid };
  }

  #refuseOlder(message: Message, older: OlderMessages): Handled | Rejected | undefined {
    if (older === "handle" || !this.#horizon.isBefore(Date.parse(message.time))) return undefined;
    if (this.#isClaimed(message)) return undefined;
    if (older === "skip") return { status: "skipped", message };
    const detail = `it is of ${message.time}; the inbox no longer says whether it was handled`;
    if (older === "ask") throw new Unverifiable(detail);
    return { status: "rejected", reason: "too-old", detail };
  }

  #isClaimed(message: Message): boolean {
    return this.#find.get(storedId(claimOf(message))) !== null;
  }

  #claimFor(message: Message, transaction: Transaction): boolean {
    const stamp = stampOf(Date.parse(message.time), transaction);
    return this.#claim.run(storedId(claimOf(message)), stamp).changes === 1;
  }

  /** Runs the middleware from `index` on, the first one outermost, and the handler inside. */
  #run(
    handler: Handler,
    message: Message,
    transaction: Transaction,
    position: RecordPosition,
    index: number,
  ): void {
    const middleware = this.#middleware[index];
    if (middleware === undefined) {
      const result = handler.handle(message, transaction, position);
      resultOfWork(result, `the handler of ${message.type}`, this.#sql, this.#log);
      return;
    }
    let calls = 0;
    let hasEnded = false;
    let failure: { readonly error: unknown } | undefined;
    const next = () => {
      // The handler would write outside of the transaction.
      if (hasEnded) throw new UsageError("a middleware must call next once, synchronously");
      calls += 1;
      // An error of a second run would take the place of the one that is about the middleware.
      if (calls > 1) return;
      try {
        this.#run(handler, message, transaction, position, index + 1);
      } catch (error) {
        failure = { error };
        throw error;
      }
    };
    try {
      resultOfWork(middleware(message, transaction, next), "a middleware", this.#sql, this.#log);
    } finally {
      hasEnded = true;
    }
    if (failure !== undefined) throw failure.error;
    if (calls !== 1) throw new UsageError(`a middleware must call next once, it called it ${calls} times`);
  }

  /**
   * Moves the horizon towards a time, and deletes a slice of the claims before it.
   *
   * @param to undefined where the horizon stays
   * @returns whether there may be more to delete
   */
  prune(to: number | undefined): boolean {
    const horizon = this.#horizon.advance(to ?? Number.NEGATIVE_INFINITY);
    const { byId, byTime, done } = this.#pruning;
    const counts = [byId, byTime].map((slice) => slice.run(horizon).changes);
    const hasMore = counts.some((count) => count >= PRUNE_SLICE);
    if (!hasMore) done.run(horizon);
    return hasMore;
  }

  close(): void {
    this.#claim.finalize();
    this.#find.finalize();
    for (const statement of Object.values(this.#pruning)) statement.finalize();
  }
}

/**
 * What identifies a message. A UUID does so alone. Any other id is unique only for its source (CloudEvents §3.1.1), and
 * contains no more than 256 characters of it, like the source.
 */
function claimOf({ id, source }: Message): string {
  return UUID.test(id) ? id : `${source} ${id}`;
}

function causeOf(message: Message, trace: Trace): Cause {
  const { correlationid, id } = message;
  return {
    correlationId: correlationid,
    causationId: id,
    idSeed: claimOf(message),
    ...trace,
  };
}
