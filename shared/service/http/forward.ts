import { formatTraceparent } from "@distributed-messaging/messaging";
import { ServiceError } from "../errors.ts";
import { exchangeOf } from "./exchange.ts";
import { readBounded } from "./input.ts";
import { problemType } from "./problem.ts";

/** Longer than a request that waits for the change log, and than nobody leads, after a crash of the leader too. */
const TIMEOUT_MS = 10_000;
const ASK_EVERY_MS = 50;
/** A new leader is found within so many seconds. */
const RETRY_AFTER_S = 5;
const NO_LEADER = "no-leader";
const STATUS_UNAVAILABLE = 503;
/** The code of a connection that was refused, in versions of Bun. */
const REFUSED: ReadonlySet<string> = new Set(["ECONNREFUSED", "ConnectionRefused"]);
/** What may be done twice (RFC 9110 §9.2.1). */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Of one connection (RFC 9110 §7.6.1), or made anew: the answer is decoded, its length may differ. */
const NOT_FORWARDED = [
  ...["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"],
  ...["content-encoding", "content-length"],
];

/**
 * Has a request answered by the instance that leads, and passes its answer on. While nobody leads, the request waits for
 * the next leader. Whatever may have been done is not asked for again.
 *
 * @param name of the service, by which every instance may be addressed
 * @param leader its address at the moment; undefined where nobody leads, or it has not said so; null where this instance will
 *   know of none
 * @param limitMs for the wait and the answer together
 * @throws ServiceError unavailable: no-leader
 */
export async function forward(
  request: Request,
  name: string,
  leader: () => string | undefined | null,
  limitMs = TIMEOUT_MS,
): Promise<Response> {
  const exchange = exchangeOf(request);
  exchange.route = "forwarded";
  const via = request.headers.get("via");
  const hop = `1.1 ${name}`;
  // The instance that was taken for the leader forwards it: a change of the leader is under way, and that one waits.
  if (via?.includes(hop)) throw noLeader(name);
  const headers = new Headers(request.headers);
  for (const header of NOT_FORWARDED) headers.delete(header);
  headers.set("host", name);
  headers.set("via", via === null ? hop : `${via}, ${hop}`);
  headers.set("traceparent", formatTraceparent(exchange.context));
  const { pathname, search } = new URL(request.url);
  const limit = AbortSignal.timeout(limitMs);
  const body = request.body === null ? {} : { body: Buffer.from(await readBounded(request)) };
  let failure: unknown;
  while (!limit.aborted && !request.signal.aborted) {
    const found = leader();
    if (found === null) break;
    const address = found?.replace(/\/$/, "");
    try {
      const answer =
        address === undefined
          ? undefined
          : await fetch(`${address}${pathname}${search}`, {
              ...{ method: request.method, headers, ...body, signal: limit },
              ...{ keepalive: false, redirect: "manual" },
            });
      const passed = answer && (await passedOn(answer));
      if (passed !== undefined) return passed;
    } catch (error) {
      failure = error;
      if (!isRefused(error) && !SAFE.has(request.method)) break;
    }
    await Bun.sleep(ASK_EVERY_MS);
  }
  throw noLeader(name, failure);
}

/** @returns undefined where who was asked does not lead, so that nothing was done */
async function passedOn(answer: Response): Promise<Response | undefined> {
  const { status, body } = answer;
  const headers = new Headers(answer.headers);
  for (const header of NOT_FORWARDED) headers.delete(header);
  if (status !== STATUS_UNAVAILABLE) return new Response(body, { status, headers });
  const text = await answer.text();
  return text.includes(problemType(NO_LEADER)) ? undefined : new Response(text, { status, headers });
}

/** Whether nobody took the connection, so that nothing was sent. */
function isRefused(error: unknown): boolean {
  return error instanceof Error && "code" in error && REFUSED.has(String(error.code));
}

function noLeader(name: string, cause?: unknown): ServiceError {
  return new ServiceError("unavailable", NO_LEADER, `No instance of ${name} leads at the moment.`, {
    retryAfterS: RETRY_AFTER_S,
    ...(cause === undefined ? {} : { cause }),
  });
}
