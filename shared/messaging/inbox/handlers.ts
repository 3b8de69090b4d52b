import type { MessageDefinition } from "../contract/define.ts";
import type { Message, MessageOf } from "../contract/envelope.ts";
import type { Transaction } from "../transaction.ts";

/**
 * Carries out a message, in a transaction. Synchronous, and all its effects are on the database and the outbox.
 *
 * @throws DomainError when it can never be carried out; anything else when it may succeed later
 */
export type Handle<M extends Message> = (message: M, transaction: Transaction) => void;

export interface Handler {
  readonly definition: MessageDefinition;
  readonly handle: Handle<Message>;
}

/** Binds a handler to the kind of message that it takes. */
export function on<Definition extends MessageDefinition>(
  definition: Definition,
  handle: Handle<MessageOf<Definition>>,
): Handler {
  // Sound: `decode` lets nothing through to this handler whose data the definition's schema does not match.
  return { definition, handle: handle as Handle<Message> };
}
