import type { Logger } from "./runtime.ts";

/**
 * For handlers: the message can never be handled, so it is parked at once. Every other error may pass, and the message
 * is retried.
 */
export class DomainError extends Error {
  override readonly name = "DomainError";
}

/**
 * The code uses the kit wrongly, for example with an `async` handler, with a transaction that has ended, or with a message
 * that breaks its contract. A message that is handled so is parked at once, because only other code can handle it.
 */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** The disk is full or fails, or the database is locked or closed. Nothing of the transaction took effect. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

/** Whether an error was logged where it arose: the same fault fails everything that is to be stored. */
export function isLogged(error: unknown): boolean {
  return error instanceof NotOwner || (error instanceof StorageError && error.cause !== undefined);
}

/** Another process works on the database, or this one opened it twice. */
export class DatabaseInUse extends Error {
  override readonly name = "DatabaseInUse";
}

/** The process is not the service: another one is, or its file is not the one that was used last. Nothing took effect. */
export class NotOwner extends Error {
  override readonly name = "NotOwner";
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

/** What an operator requested of a stopped partition is not possible. Nothing changed. */
export class PartitionRefusal extends Error {
  override readonly name = "PartitionRefusal";
  readonly code: "not-stopped" | "stopped-elsewhere" | "action-not-possible";

  constructor(code: PartitionRefusal["code"], text: string) {
    super(text);
    this.code = code;
  }
}

/** What an operator requested of a parked outgoing record is not possible. Nothing changed. */
export class OutboxRefusal extends Error {
  override readonly name = "OutboxRefusal";
  readonly code: "not-found" | "blocked";

  constructor(code: OutboxRefusal["code"], text: string) {
    super(text);
    this.code = code;
  }
}

/** There is no such dead effect. Nothing changed. */
export class EffectRefusal extends Error {
  override readonly name = "EffectRefusal";
}

/** Whether a value would be awaited. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    "then" in value &&
    typeof value.then === "function"
  );
}

/** Parts by their names. @throws UsageError when two have one name */
export function byName<Part>(
  what: string,
  parts: readonly Part[],
  nameOf: (part: Part) => string,
): ReadonlyMap<string, Part> {
  const map = new Map<string, Part>();
  for (const part of parts) {
    const name = nameOf(part);
    if (map.has(name)) throw new UsageError(`there are two ${what} ${name}`);
    map.set(name, part);
  }
  return map;
}

/**
 * The result of a function that ran in a transaction. What an asynchronous one does after its first `await` is not part
 * of the transaction, so it is refused; how it ends is logged.
 *
 * @param what the function, for the error's text
 * @param sql the database, whose transaction has to last
 * @throws UsageError when the result is a promise, or the transaction has ended
 */
export function resultOfWork<T>(
  result: T,
  what: string,
  sql: { readonly inTransaction: boolean },
  log: Logger,
): T {
  if (isThenable(result)) {
    result.then(undefined, (error: unknown) =>
      log.error({ err: error }, `${what} failed after its transaction had been rolled back`),
    );
    throw new UsageError(`${what} must be synchronous: it returned a promise`);
  }
  // What is written next would be committed by itself.
  if (!sql.inTransaction) throw new UsageError(`${what} must not end the transaction`);
  return result;
}

/** The message of what was thrown, on one line. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").trim();
}
