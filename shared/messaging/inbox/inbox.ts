import type { ReadRecord } from "../contract/cloud-event.ts";
import { type Decoded, decode, type RejectionReason } from "../contract/decode.ts";
import { byType, type MessageDefinition } from "../contract/define.ts";
import { type Message, type MessageOf, traceOf } from "../contract/envelope.ts";
import type { ServiceDatabase } from "../database.ts";
import { byName, refusePromise, UsageError } from "../errors.ts";
import type { Cause } from "../outbox/outbox.ts";
import type { Logger } from "../runtime.ts";
import type { Synchronous, Transaction } from "../unit-of-work.ts";

/**
 * Handles a message in a transaction. Synchronous, and its result is ignored; all its effects are on the database and
 * the outbox.
 *
 * @throws DomainError when the message can never be handled; anything else when it may be later
 */
type Handle<M extends Message, Result> = (message: M, transaction: Transaction) => Synchronous<Result>;

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

/** A record that is no valid message of a known type. */
export interface Rejected {
  readonly status: "rejected";
  readonly reason: RejectionReason;
  readonly detail: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Rows that one pruning looks at: few enough to commit with a group of messages. */
const PRUNE_SLICE = 500;

/**
 * The idempotent inbox, and the one way in which a message takes effect: decode, claim, handle. Messages that are
 * consumed, released and replayed all go through it. The claim is written in the transaction of the effect, so a
 * message that is delivered again finds it and does nothing.
 */
export class Inbox {
  /** The topics of the handlers' messages. */
  readonly topics: readonly string[];
  readonly #consumer: string;
  readonly #log: Logger;
  readonly #known: ReadonlyMap<string, MessageDefinition>;
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #middleware: readonly Middleware[];
  readonly #claim;
  readonly #prune;

  constructor(options: {
    readonly consumer: string;
    readonly database: ServiceDatabase;
    readonly definitions: readonly MessageDefinition[];
    readonly handlers: readonly Handler[];
    readonly middleware: readonly Middleware[];
    readonly log: Logger;
  }) {
    const { database, handlers } = options;
    this.#consumer = options.consumer;
    this.#log = options.log;
    this.#middleware = options.middleware;
    this.#known = byType(options.definitions);
    this.#handlers = byName("handlers of", handlers, ({ definition }) => definition.type);
    for (const { definition } of handlers) {
      if (this.#known.get(definition.type) === definition) continue;
      throw new UsageError(`the handler of ${definition.type} is for none of the definitions`);
    }
    this.topics = [...new Set(handlers.map(({ definition }) => definition.topic.name))];
    this.#claim = database.sql.prepare(
      "INSERT INTO inbox (consumer, message_id, handled_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    this.#prune = database.sql.prepare(
      `DELETE FROM inbox WHERE handled_at < ? AND seq IN (SELECT seq FROM inbox ORDER BY seq LIMIT ${PRUNE_SLICE})`,
    );
  }

  /** What a record contains, without handling it. */
  decode(record: ReadRecord): Decoded {
    return decode(this.#known, record);
  }

  /** @throws what the handler throws; UsageError when it is asynchronous */
  handle(record: ReadRecord, transaction: Transaction): Handled | Rejected {
    const decoded = this.decode(record);
    if (decoded.status === "rejected") return decoded;
    const { message } = decoded;
    const handler = this.#handlers.get(message.type);
    if (handler === undefined) return { status: "skipped", message };
    const claimed = this.#claim.run(this.#consumer, claimOf(message), transaction.now).changes === 1;
    if (!claimed) return { status: "duplicate", message };
    this.#run(handler, message, transaction.causedBy(causeOf(message)), 0);
    return { status: "handled", message };
  }

  /** Records a message as handled without handling it. What is not accepted as one is left alone. */
  claim(record: ReadRecord, { now }: Transaction): void {
    const decoded = this.decode(record);
    if (decoded.status === "decoded") this.#claim.run(this.#consumer, claimOf(decoded.message), now);
  }

  /** Runs the middleware from `index` on, the first one outermost, and the handler inside. */
  #run(handler: Handler, message: Message, transaction: Transaction, index: number): void {
    const middleware = this.#middleware[index];
    if (middleware === undefined) {
      refusePromise(handler.handle(message, transaction), `the handler of ${message.type}`, this.#log);
      return;
    }
    let calls = 0;
    let failure: { readonly error: unknown } | undefined;
    const result = middleware(message, transaction, () => {
      calls += 1;
      if (calls > 1) return;
      try {
        this.#run(handler, message, transaction, index + 1);
      } catch (error) {
        failure = { error };
        throw error;
      }
    });
    refusePromise(result, "a middleware", this.#log);
    if (failure !== undefined) throw failure.error;
    if (calls !== 1) throw new UsageError(`a middleware must call next once, it called it ${calls} times`);
  }

  /** Deletes a slice of the claims older than `retentionMs`. @returns whether there may be more of them */
  prune(retentionMs: number, transaction: Transaction): boolean {
    return this.#prune.run(transaction.now - retentionMs).changes === PRUNE_SLICE;
  }

  close(): void {
    this.#claim.finalize();
    this.#prune.finalize();
  }
}

/**
 * What identifies a message. A UUID does so alone. Any other id is unique only for its source (CloudEvents §3.1.1), and
 * contains no more than 256 characters of it, like the source.
 */
function claimOf({ id, source }: Message): string {
  return UUID.test(id) ? id : `${source} ${id}`;
}

function causeOf(message: Message): Cause {
  const { correlationid, id } = message;
  return {
    correlationId: correlationid,
    causationId: id,
    idSeed: claimOf(message),
    ...traceOf(message),
  };
}
