import type { ErrorKind, FieldError, ServiceError } from "../errors.ts";

/** The one place that knows which HTTP status a kind of error becomes (RFC 9110 §15). */
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

/** Problem details for HTTP APIs, RFC 9457 §3; `errors` and `requestId` are extension members (§3.2). */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly FieldError[];
  readonly requestId?: string;
}

/** A refusal that only HTTP has, such as a method that a path does not take. */
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

/** An answer that is a problem: its body, and the headers that its status asks for. */
export interface ProblemAnswer {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
}

/** What the caller is told about an expected refusal. */
export function explain(error: ServiceError | HttpProblem): ProblemAnswer {
  if (error instanceof HttpProblem) {
    return { problem: problem(error.status, error.code, error.detail), headers: error.headers };
  }
  const headers: Record<string, string> = {};
  // RFC 9110 §11.6.1: a 401 names the scheme that it wants.
  if (error.kind === "unauthorized")
    headers["www-authenticate"] = `Bearer error="${bearerError(error.code)}"`;
  if (error.retryAfterS !== undefined)
    headers["retry-after"] = String(Math.max(0, Math.ceil(error.retryAfterS)));
  const errors = error.errors.length > 0 ? { errors: error.errors } : {};
  return { problem: { ...problem(STATUS[error.kind], error.code, error.detail), ...errors }, headers };
}

/** What the caller is told about a fault of ours: nothing but the id under which the log has the rest. */
export function explainFault(requestId: string): ProblemAnswer {
  const detail = "Something went wrong here. The log has more under the request id.";
  return { problem: { ...problem(500, "internal-error", detail), requestId }, headers: {} };
}

/** Writes a problem as `application/problem+json`. */
export function problemResponse({ problem: body, headers }: ProblemAnswer): Response {
  return new Response(JSON.stringify(body), {
    status: body.status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}

function problem(status: number, code: string, detail: string): Problem {
  const words = code.replaceAll("-", " ");
  const title = words.charAt(0).toUpperCase() + words.slice(1);
  return { type: `urn:problem-type:${code}`, title, status, detail };
}

/** RFC 6750 §3.1. */
function bearerError(code: string): string {
  return code === "token-missing" ? "invalid_request" : "invalid_token";
}
