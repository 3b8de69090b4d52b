import {
  DeadLetterRefusal,
  EffectRefusal,
  NotOwner,
  OutboxRefusal,
  PartitionRefusal,
  StorageError,
} from "@distributed-messaging/messaging";
import { ValidationError } from "elysia";
import { type ErrorKind, type FieldError, ServiceError } from "../errors.ts";

/** The HTTP status of each kind of error (RFC 9110 §15). */
const STATUS: Readonly<Record<ErrorKind, number>> = {
  malformed: 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "too-large": 413,
  unsupported: 415,
  invalid: 422,
  "too-many": 429,
  unavailable: 503,
};

/** Seconds after which a client should try again when the disk is full or failing. */
const STORAGE_RETRY_AFTER_S = 5;

/** A refusal that exists in HTTP only, such as a method that a path does not support. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
  }
}

/**
 * The refusal that an error stands for: an error of a service or of the messaging kit, or input that breaks the
 * route's schema. Undefined for any other error, which is a fault of the service.
 */
export function refusalOf(error: unknown): ServiceError | HttpProblem | undefined {
  if (error instanceof ServiceError || error instanceof HttpProblem) return error;
  if (error instanceof StorageError) {
    return new ServiceError("unavailable", "storage-unavailable", "Nothing can be stored right now.", {
      retryAfterS: STORAGE_RETRY_AFTER_S,
      cause: error,
    });
  }
  if (error instanceof NotOwner) {
    const detail =
      "This process is not the service: another one is, or its database is not the one that was used last.";
    return new ServiceError("unavailable", "not-owner", detail, {
      retryAfterS: STORAGE_RETRY_AFTER_S,
      cause: error,
    });
  }
  if (error instanceof DeadLetterRefusal) return deadLetterRefusal(error);
  if (error instanceof PartitionRefusal) {
    const kind = error.code === "not-stopped" ? "not-found" : "conflict";
    return new ServiceError(kind, error.code, sentence(error.message));
  }
  if (error instanceof OutboxRefusal) {
    return error.code === "not-found"
      ? new ServiceError("not-found", "parked-record-not-found", sentence(error.message))
      : new ServiceError("conflict", error.code, sentence(error.message));
  }
  if (error instanceof EffectRefusal) {
    return new ServiceError("not-found", "dead-effect-not-found", sentence(error.message));
  }
  // A response that breaks its schema is a fault of the service.
  if (error instanceof ValidationError && error.type !== "response") return invalidInput(error);
  return undefined;
}

function deadLetterRefusal({ code, message }: DeadLetterRefusal): ServiceError {
  const detail = sentence(message);
  switch (code) {
    case "not-found":
      return new ServiceError("not-found", "dead-letter-not-found", detail);
    case "edit-invalid":
      return new ServiceError("invalid", "edit-invalid", detail);
    case "blocked":
    case "replayed-too-often":
      return new ServiceError("conflict", code, detail);
    default:
      return code satisfies never;
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Problem details for HTTP APIs, RFC 9457 §3; `errors` and `requestId` are extension members (§3.2). */
interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly FieldError[];
  readonly requestId?: string;
}

/** The response to a request that is refused. */
export function refusalResponse(refusal: ServiceError | HttpProblem): Response {
  if (refusal instanceof HttpProblem) {
    return respond(problem(refusal.status, refusal.code, refusal.detail), refusal.headers);
  }
  const { kind, code, detail, errors, retryAfterS } = refusal;
  const headers: Record<string, string> = {};
  // RFC 9110 §11.6.1: a 401 names the scheme that it expects.
  if (kind === "unauthorized") headers["www-authenticate"] = `Bearer error="${bearerError(code)}"`;
  if (retryAfterS !== undefined) headers["retry-after"] = String(Math.max(0, Math.ceil(retryAfterS)));
  const fields = errors.length > 0 ? { errors } : {};
  return respond({ ...problem(STATUS[kind], code, detail), ...fields }, headers);
}

/** The response when the service failed: only the id under which the log has the error. */
export function faultResponse(requestId: string): Response {
  const detail = "Something went wrong here. The log has more under the request id.";
  return respond({ ...problem(500, "internal-error", detail), requestId });
}

function respond(body: Problem, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), {
    status: body.status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}

/** The members that every problem has. */
export function problem(status: number, code: string, detail: string): Problem {
  const words = code.replaceAll("-", " ");
  const title = words.charAt(0).toUpperCase() + words.slice(1);
  return { type: problemType(code), title, status, detail };
}

/** @param code of the problem, `no-leader` */
export function problemType(code: string): string {
  return `urn:problem-type:${code}`;
}

/** RFC 6750 §3.1. */
function bearerError(code: string): string {
  return code === "token-missing" ? "invalid_request" : "invalid_token";
}

/** An answer lists at most this many fields. */
const MAX_FIELD_ERRORS = 50;

/**
 * Each invalid field once, by JSON Pointer (RFC 6901): `/items/0/quantity` in the body, `/orderId` or `/limit` for a
 * parameter of the path or the query.
 */
function invalidInput(error: ValidationError): ServiceError {
  const errors = fieldErrors(error.all);
  const where = error.type === "params" ? "path" : error.type;
  return new ServiceError("invalid", "invalid-input", `The ${where} is invalid${described(errors[0])}.`, {
    errors,
  });
}

/** A response that breaks its schema, for the log: the first wrong field without its value. */
export function invalidResponse(error: ValidationError): Error {
  return new Error(`the response breaks its schema${described(fieldErrors(error.all)[0])}`);
}

function described(field: FieldError | undefined): string {
  if (field === undefined) return "";
  return field.path === "" ? `: ${field.message}` : `: ${field.path}: ${field.message}`;
}

/** TypeBox reports a path several times; its first report is the cause of the others. */
function fieldErrors(reports: Iterable<Report>): FieldError[] {
  const seen = new Map<string, string>();
  for (const { path = "", message = "is invalid" } of reports) {
    const pointer = path === "root" ? "" : path;
    if (!seen.has(pointer)) seen.set(pointer, plainMessage(message));
    if (seen.size === MAX_FIELD_ERRORS) break;
  }
  return [...seen].map(([path, message]) => ({ path, message }));
}

interface Report {
  readonly path?: string;
  readonly message?: string;
  readonly summary?: string | undefined;
}

function plainMessage(message: string): string {
  if (message === "Unexpected property") return "is not a known field";
  if (message === "Expected required property") return "is missing";
  // The format of `IntegerParam` is its range in words.
  const format = /^Expected string to match '(.*)' format$/.exec(message)?.[1];
  if (format !== undefined) return `expected ${format}`;
  return message.charAt(0).toLowerCase() + message.slice(1);
}
