import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { isRecord, parseJson } from "../json.ts";

/** The service answered with an error: a problem document (RFC 9457). */
export class Refused extends Error {
  override readonly name = "Refused";
  constructor(
    readonly status: number,
    detail: string,
    /** The `Retry-After` of the answer in milliseconds. */
    readonly retryAfterMs: number | undefined,
  ) {
    super(detail);
  }
}

/** There was no answer: the service is down, paused or slow. The request may have been carried out. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body?: object;
  readonly token?: string | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

interface Answer<Body> {
  readonly headers: Headers;
  readonly body: Body;
}

const TIMEOUT_MS = 8_000;
const FIRST_RETRY_MS = 300;
const MAX_RETRY_MS = 5_000;

/**
 * Sends a request to a service of the store.
 *
 * @param url relative to the page, or absolute for the supervisor
 * @throws Refused for an answer with an error status, Unreachable without an answer
 */
export async function request<Body>(url: string, options: RequestOptions = {}): Promise<Answer<Body>> {
  const { method = "GET", body, token, idempotencyKey, signal, timeoutMs = TIMEOUT_MS } = options;
  const signals = [AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])];
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      signal: AbortSignal.any(signals),
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (cause) {
    throw new Unreachable("There was no answer.", { cause });
  }
  if (!response.ok) throw refusal(response, text);
  return { headers: response.headers, body: parse<Body>(response, text) };
}

function parse<Body>(response: Response, text: string): Body {
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  // Not checked: the gateway and the supervisor are of the same version as the page, and their tests check their answers.
  return (isJson ? JSON.parse(text) : text) as Body;
}

/** The error of an answer with an error status. */
export function refusal(response: Response, text: string): Refused {
  const problem = parseJson(text);
  const { detail, title, errors } = isRecord(problem) ? problem : {};
  const words = String(detail ?? title ?? `The answer was ${response.status}.`);
  // The detail names some of them already.
  const fieldErrors = (Array.isArray(errors) ? errors : [])
    .filter(isRecord)
    .filter(({ path }) => path !== "" && !words.includes(`${path}:`))
    .map(({ path, message }) => ` ${path} ${message}.`)
    .join("");
  const retryAfterS = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new Refused(
    response.status,
    escapeInvisible(`${words}${fieldErrors}`),
    Number.isFinite(retryAfterS) ? retryAfterS * 1000 : undefined,
  );
}

/**
 * The delay before the next attempt: exponential backoff with jitter, so that pages do not retry in step.
 *
 * @param failures the number of failed attempts, from 1
 */
export function backoffMs(failures: number): number {
  const ceiling = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(ceiling * (0.5 + Math.random() / 2));
}

/** The delay before an order is sent again: `Retry-After` where the gateway sent it, otherwise `backoffMs`. */
export function retryDelayMs(error: unknown, failures: number): number {
  return (error instanceof Refused ? error.retryAfterMs : undefined) ?? backoffMs(failures);
}

/** The text of a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
