import { signInMode } from "../settings.ts";
import { token as customerToken, tokenRefused } from "../state/session.ts";
import { signInAs } from "./gateway.ts";
import { Refused, type RequestOptions, request } from "./request.ts";
import { askService } from "./supervisor.ts";
import type { DeadLetterDetails, DeadLetterSummary, Replay, Session } from "./types.ts";

/* Requests with an admin's token: restock and dead letters. Every function throws Refused or Unreachable. */

let session: Promise<Session> | undefined;

/** An admin's token of the demo's sign-in, kept in memory only. */
async function adminToken(): Promise<string> {
  session ??= signInAs("STAFF", "admin");
  try {
    const { token, expiresAt } = await session;
    if (Date.parse(expiresAt) > Date.now()) return token;
    session = signInAs("STAFF", "admin");
    return (await session).token;
  } catch (error) {
    session = undefined;
    throw error;
  }
}

async function asAdmin<Body>(ask: (token: string) => Promise<Body>): Promise<Body> {
  if (signInMode === "oidc") return asWhoIsSignedIn(ask);
  try {
    return await ask(await adminToken());
  } catch (error) {
    // After a start from empty data the store signs with another key, and the token is invalid.
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    session = undefined;
    return ask(await adminToken());
  }
}

/** With the token of whoever is signed in: the services check the role. */
async function asWhoIsSignedIn<Body>(ask: (token: string) => Promise<Body>): Promise<Body> {
  const token = customerToken.peek();
  if (token === undefined) throw new Refused(401, "Sign in as an admin.", undefined);
  try {
    return await ask(token);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) tokenRefused(token);
    throw error;
  }
}

/**
 * Adds stock of a product.
 *
 * @param idempotencyKey requests with the same one count once
 * @returns whether an earlier request with this key has counted instead
 */
export async function restock(
  productId: string,
  quantity: number,
  idempotencyKey?: string,
): Promise<boolean> {
  const url = `/products/${productId}/restock`;
  const { headers } = await asAdmin((token) =>
    request(url, { method: "POST", token, body: { quantity }, idempotencyKey }),
  );
  return headers.get("idempotent-replayed") === "true";
}

const askDeadLetters = <Body>(service: string, path: string, options: RequestOptions = {}) =>
  asAdmin((token) => askService<Body>(service, `/dead-letters${path}`, { ...options, token }));

/** Oldest first. @param key restricts the list to one key */
export function listDeadLetters(
  service: string,
  limit: number,
  key?: string,
): Promise<readonly DeadLetterSummary[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(key === undefined ? {} : { key }) });
  return askDeadLetters(service, `?${query}`);
}

export const showDeadLetter = (service: string, id: number) =>
  askDeadLetters<DeadLetterDetails>(service, `/${id}`);

/** Replaces the message; the received one is kept beside it. */
export const editDeadLetter = (service: string, id: number, message: object) =>
  askDeadLetters<DeadLetterDetails>(service, `/${id}/message`, { method: "PUT", body: message });

/** Handles the message again; blocked messages of its key follow in order. */
export const replayDeadLetter = (service: string, id: number) =>
  askDeadLetters<Replay>(service, `/${id}/replay`, { method: "POST", body: {} });

/** Deletes the dead letter; blocked messages of its key follow in order. */
export const discardDeadLetter = (service: string, id: number, reason: string) =>
  askDeadLetters<void>(service, `/${id}`, { method: "DELETE", body: { reason } });
