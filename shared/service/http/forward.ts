import { formatTraceparent } from "@distributed-messaging/messaging";
import { ServiceError } from "../errors.ts";
import { exchangeOf } from "./exchange.ts";

/** Longer than a request that waits for the change log. */
const TIMEOUT_MS = 10_000;
/** A new leader is found within so many seconds. */
const RETRY_AFTER_S = 5;

/** Of one connection (RFC 9110 §7.6.1), or made anew: the answer is decoded, its length may differ. */
const NOT_FORWARDED = [
  ...["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"],
  ...["content-encoding", "content-length"],
];

/**
 * Has a request answered by the instance that leads, and passes its answer on.
 *
 * @param name of the service, by which every instance may be addressed
 * @param leader its address; undefined where nobody leads, or it has not said so
 * @throws ServiceError unavailable: no-leader
 */
export async function forward(request: Request, name: string, leader: string | undefined): Promise<Response> {
  const exchange = exchangeOf(request);
  exchange.route = "forwarded";
  const { pathname, search } = new URL(request.url);
  const via = request.headers.get("via");
  const hop = `1.1 ${name}`;
  // The instance that was taken for the leader forwards it: a change of the leader is under way.
  if (leader === undefined || via?.includes(hop)) throw noLeader(name);
  const headers = new Headers(request.headers);
  for (const header of NOT_FORWARDED) headers.delete(header);
  headers.set("host", name);
  headers.set("via", via === null ? hop : `${via}, ${hop}`);
  headers.set("traceparent", formatTraceparent(exchange.context));
  let answer: Response;
  try {
    answer = await fetch(`${leader.replace(/\/$/, "")}${pathname}${search}`, {
      method: request.method,
      headers,
      ...(request.body === null ? {} : { body: request.body }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      keepalive: false,
      redirect: "manual",
    });
  } catch (error) {
    throw noLeader(name, error);
  }
  const answered = new Headers(answer.headers);
  for (const header of NOT_FORWARDED) answered.delete(header);
  return new Response(answer.body, { status: answer.status, headers: answered });
}

function noLeader(name: string, cause?: unknown): ServiceError {
  return new ServiceError("unavailable", "no-leader", `No instance of ${name} leads at the moment.`, {
    retryAfterS: RETRY_AFTER_S,
    ...(cause === undefined ? {} : { cause }),
  });
}
