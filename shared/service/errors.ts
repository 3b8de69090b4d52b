/**
 * What went wrong, in words that no protocol owns. `problem.ts` is the one place that knows which HTTP status
 * a kind becomes.
 *
 * - `malformed`: cannot be read at all; `invalid`: can be read and breaks a rule
 * - `unauthorized`: nobody knows who asks; `forbidden`: known, and may not
 * - `unavailable` and `too-many`: worth asking again later, see `retryAfterS`
 */
export type ErrorKind =
  | "malformed"
  | "invalid"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "conflict"
  | "too-large"
  | "unsupported"
  | "too-many"
  | "unavailable";

/** One bad field: where (a JSON Pointer, RFC 6901; "" is the whole input) and what was expected there. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/**
 * A refusal that the caller is meant to read: everything in it is shown to them, so nothing in it may name
 * a file, a statement or a secret.
 */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly kind: ErrorKind;
  /** A stable slug, `order-not-found`: what programs compare, in place of the words. */
  readonly code: string;
  readonly detail: string;
  readonly errors: readonly FieldError[];
  /** Seconds after which asking again makes sense. */
  readonly retryAfterS: number | undefined;

  constructor(
    kind: ErrorKind,
    code: string,
    detail: string,
    options: { errors?: readonly FieldError[]; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = code;
    this.detail = detail;
    this.errors = options.errors ?? [];
    this.retryAfterS = options.retryAfterS;
  }
}

/**
 * The process cannot start, for a reason that the person who started it can mend: a taken port, a directory
 * that cannot be written. The message is one line and says which setting to change.
 */
export class StartError extends Error {
  override readonly name = "StartError";
}
