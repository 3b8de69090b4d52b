import type { ValidationError } from "elysia";
import { type FieldError, ServiceError } from "../errors.ts";

/** More would only repeat what the first ones say, and an answer has to end. */
const MAX_ERRORS = 50;

/**
 * What a request that broke its schema is told: each bad field once, by JSON Pointer (RFC 6901). Fields of the
 * body are `/items/0/quantity`; parameters of the path and the query are `/orderId`, `/limit`.
 */
export function invalidInput(error: ValidationError): ServiceError {
  const errors = fieldErrors(error.all);
  const where = error.type === "params" ? "path" : error.type;
  const detail = `The ${where} is invalid${inWords(errors[0])}.`;
  return new ServiceError("invalid", "invalid-input", detail, { errors });
}

/** A fault of ours: an answer that is not what its schema promises. It says where, and not what stood there. */
export function invalidAnswer(error: ValidationError): Error {
  return new Error(`the answer breaks its schema${inWords(fieldErrors(error.all)[0])}`);
}

function inWords(field: FieldError | undefined): string {
  if (field === undefined) return "";
  return field.path === "" ? `: ${field.message}` : `: ${field.path}: ${field.message}`;
}

/** What TypeBox reports, with one entry a path: its first complaint is the one that causes the others. */
export function fieldErrors(
  reports: Iterable<{
    readonly path?: string;
    readonly message?: string;
    readonly summary?: string | undefined;
  }>,
): FieldError[] {
  const seen = new Map<string, string>();
  for (const { path = "", message = "is invalid" } of reports) {
    const pointer = path === "root" ? "" : path;
    if (!seen.has(pointer)) seen.set(pointer, inPlainWords(message));
    if (seen.size === MAX_ERRORS) break;
  }
  return [...seen].map(([path, message]) => ({ path, message }));
}

function inPlainWords(message: string): string {
  if (message === "Unexpected property") return "is not a known field";
  if (message === "Expected required property") return "is missing";
  // How `IntegerParam` says its range.
  const format = /^Expected string to match '(.*)' format$/.exec(message)?.[1];
  if (format !== undefined) return `expected ${format}`;
  return message.charAt(0).toLowerCase() + message.slice(1);
}
