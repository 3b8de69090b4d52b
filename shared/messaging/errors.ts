/**
 * The handler has understood the message and says that it can never be carried out. It is parked at once: to
 * try again would change nothing. Everything else that a handler throws counts as passing, and is retried.
 */
export class DomainError extends Error {
  override readonly name = "DomainError";
}

/** The disk refuses: full, failing or gone. Nothing of the transaction took effect. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

/** The outbox holds as much as it may. Nothing of the transaction took effect. */
export class OutboxFull extends Error {
  override readonly name = "OutboxFull";
}
