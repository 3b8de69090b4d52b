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

/** As many dead letters are kept as may be; somebody has to look at them before more can be parked. */
export class DeadLettersFull extends Error {
  override readonly name = "DeadLettersFull";
}

/** What an operator asked for cannot be done; the text says why. Nothing changed. */
export class DeadLetterRefusal extends Error {
  override readonly name = "DeadLetterRefusal";
  readonly code: "not-found" | "blocked" | "replayed-too-often" | "edit-invalid";

  constructor(code: DeadLetterRefusal["code"], text: string) {
    super(text);
    this.code = code;
  }
}

/** The message of whatever was thrown, on one line. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").trim();
}
