import { type Decoded, decode, type RejectionReason } from "../contract/decode.ts";
import { byType, type MessageDefinition } from "../contract/define.ts";
import type { Message, MessageOf } from "../contract/envelope.ts";
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
  readonly #claim;
  readonly #prune;

  constructor(options: {
    readonly consumer: string;
    readonly database: ServiceDatabase;
    readonly definitions: readonly MessageDefinition[];
    readonly handlers: readonly Handler[];
    readonly log: Logger;
  }) {
    const { database, handlers } = options;
    this.#consumer = options.consumer;
    this.#log = options.log;
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

  /** What a record's value contains, without handling it. */
  decode(value: Uint8Array | null): Decoded {
    return decode(this.#known, value);
  }

  /** @throws what the handler throws; UsageError when it is asynchronous */
  handle(value: Uint8Array | null, transaction: Transaction): Handled | Rejected {
    const decoded = this.decode(value);
    if (decoded.status === "rejected") return decoded;
    const { message } = decoded;
    const handler = this.#handlers.get(message.type);
    if (handler === undefined) return { status: "skipped", message };
    const claimed = this.#claim.run(this.#consumer, message.id, transaction.now).changes === 1;
    if (!claimed) return { status: "duplicate", message };
    const result = handler.handle(message, transaction.causedBy(causeOf(message)));
    refusePromise(result, `the handler of ${message.type}`, this.#log);
    return { status: "handled", message };
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

function causeOf({ correlationid, id, traceparent }: Message): Cause {
  return {
    correlationId: correlationid,
    causationId: id,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
