/** The service refused, in the words of its problem document (RFC 9457). */
export class Refused extends Error {
  override readonly name = "Refused";
  constructor(
    readonly status: number,
    /** The slug of its type: `order-not-found`. */
    readonly code: string,
    detail: string,
    /** Milliseconds after which asking again makes sense, where the service says so. */
    readonly retryAfterMs: number | undefined,
  ) {
    super(detail);
  }
}

/** Nobody answered: the service is down, paused, or too slow. The request may have been carried out all the same. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body?: object;
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

const TIMEOUT_MS = 8_000;

/**
 * Asks a service of the store.
 *
 * @param url from the root of the page, or absolute for the supervisor
 * @throws Refused when the answer is no, Unreachable when there is none
 */
export async function request<Body>(url: string, options: RequestOptions = {}): Promise<Answer<Body>> {
  const { method = "GET", body, token, signal, timeoutMs = TIMEOUT_MS } = options;
  const limits = [AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])];
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      signal: AbortSignal.any(limits),
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (cause) {
    throw new Unreachable("There was no answer.", { cause });
  }
  if (!response.ok) throw refusal(response, text);
  return { status: response.status, headers: response.headers, body: parse<Body>(response, text) };
}

function parse<Body>(response: Response, text: string): Body {
  if (!/[/+]json/.test(response.headers.get("content-type") ?? "")) return text as Body;
  // What the store answers is held to these types by its own tests; the page trusts its own server.
  return JSON.parse(text) as Body;
}

interface ProblemDocument {
  readonly type?: string;
  readonly detail?: string;
  readonly title?: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
}

function refusal(response: Response, text: string): Refused {
  const problem = problemIn(text);
  const code = problem.type?.replace("urn:problem-type:", "") ?? "unknown";
  const faults = (problem.errors ?? []).map(({ path, message }) => ` ${path} ${message}.`).join("");
  const retryAfterS = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new Refused(
    response.status,
    code,
    `${problem.detail ?? problem.title ?? `The answer was ${response.status}.`}${faults}`,
    Number.isFinite(retryAfterS) ? retryAfterS * 1000 : undefined,
  );
}

function problemIn(text: string): ProblemDocument {
  try {
    return JSON.parse(text) as ProblemDocument;
  } catch {
    return {};
  }
}

/** What to tell somebody about whatever was thrown. */
export function wordsFor(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
