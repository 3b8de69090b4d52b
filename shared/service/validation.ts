import type { ValidationError } from "elysia";
import { type FieldError, ServiceError } from "./errors.ts";

/** More would only repeat what the first ones say, and an answer has to end. */
const MAX_ERRORS = 50;

/**
 * What a request that broke its schema is told: each bad field once, by JSON Pointer (RFC 6901). Fields of the
 * body are `/items/0/quantity`; parameters of the path and the query are `/orderId`, `/limit`.
 */
export function invalidInput(error: ValidationError): ServiceError {
  const fields = fieldErrors(error.all);
  const where = error.type === "params" ? "path" : error.type;
  const first = fields[0];
  const detail =
    first === undefined
      ? `The ${where} is invalid.`
      : `The ${where} is invalid: ${first.path || "/"}: ${first.message}.`;
  return new ServiceError("invalid", "invalid-input", detail, { errors: fields });
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
  return message.charAt(0).toLowerCase() + message.slice(1);
}
