/**
 * For handlers: the message can never be handled, so it is parked at once. Every other error may pass, and the message
 * is retried.
 */
export class DomainError extends Error {
  override readonly name = "DomainError";
}

/** The disk is full or fails, or the database is locked or closed. Nothing of the transaction took effect. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

/** No more dead letters can be parked before some are replayed or discarded. */
export class DeadLettersFull extends Error {
  override readonly name = "DeadLettersFull";
}

/** What an operator requested of a dead letter is not possible. Nothing changed. */
export class DeadLetterRefusal extends Error {
  override readonly name = "DeadLetterRefusal";
  readonly code: "not-found" | "blocked" | "replayed-too-often" | "edit-invalid";

  constructor(code: DeadLetterRefusal["code"], text: string) {
    super(text);
    this.code = code;
  }
}

/** The message of what was thrown, on one line. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").trim();
}
