import { decode, type RejectionReason } from "../contract/decode.ts";
import { byType, type MessageDefinition } from "../contract/define.ts";
import type { Message } from "../contract/envelope.ts";
import type { Cause, Transaction } from "../transaction.ts";
import type { Handler } from "./handlers.ts";
import type { Inbox } from "./inbox.ts";

/** What became of a record. `skipped`: a known message that is of no interest to this service. */
export type Outcome =
  | { readonly status: "handled" | "duplicate" | "skipped"; readonly message: Message }
  | { readonly status: "rejected"; readonly reason: RejectionReason; readonly detail: string };

/**
 * Decodes a record, claims it in the inbox and carries it out: the one way in which a message takes effect,
 * whether it comes from the broker or out of the dead letters.
 */
export class Processor {
  /** The topics that the handlers' messages travel on. */
  readonly topics: readonly string[];
  readonly #consumer: string;
  readonly #inbox: Inbox;
  readonly #known: ReadonlyMap<string, MessageDefinition>;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(options: {
    consumer: string;
    inbox: Inbox;
    definitions: readonly MessageDefinition[];
    handlers: readonly Handler[];
  }) {
    this.#consumer = options.consumer;
    this.#inbox = options.inbox;
    this.#known = byType(options.definitions);
    this.#handlers = new Map(options.handlers.map((handler) => [handler.definition.type, handler]));
    this.topics = [...new Set(options.handlers.map((handler) => handler.definition.topic.name))];
  }

  /** Reads a record's value without doing anything. */
  decode(value: Uint8Array | null) {
    return decode(this.#known, value);
  }

  /** Only inside a transaction. @throws whatever the handler throws */
  process(value: Uint8Array | null, transaction: Transaction): Outcome {
    const decoded = this.decode(value);
    if (decoded.status === "rejected") return decoded;
    const { message } = decoded;
    const handler = this.#handlers.get(message.type);
    if (handler === undefined) return { status: "skipped", message };
    if (!this.#inbox.claim(this.#consumer, message.id, transaction.now))
      return { status: "duplicate", message };
    handler.handle(message, transaction.causedBy(causeOf(message)));
    return { status: "handled", message };
  }
}

function causeOf(message: Message): Cause {
  return {
    correlationId: message.correlationid,
    causationId: message.id,
    ...(message.traceparent === undefined ? {} : { traceparent: message.traceparent }),
  };
}
