/**
 * What kind of refusal an error is, independent of a protocol. `http/problem.ts` maps each kind to an HTTP status.
 *
 * - `malformed`: cannot be parsed; `invalid`: can be parsed, but breaks a rule
 * - `unauthorized`: the sender is not identified; `forbidden`: the sender is identified, but may not do this
 * - `unavailable` and `too-many`: a retry may succeed, see `retryAfterS`
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

/** An invalid field: its JSON Pointer (RFC 6901; "" is the whole input), and what was expected there. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** A request is refused. All of it is shown to the client: it must not name a file, an SQL statement or a secret. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly kind: ErrorKind;
  /** A stable slug for programs, `order-not-found`. */
  readonly code: string;
  readonly detail: string;
  readonly errors: readonly FieldError[];
  /** Seconds after which a client should try again. */
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
 * The process cannot start, for a reason that its operator can correct: a port in use, a directory that is not
 * writable. The message is one line and names the setting to change.
 */
export class StartError extends Error {
  override readonly name = "StartError";
}
