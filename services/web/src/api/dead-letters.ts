import { adminToken, forgetAdmin } from "../state/session.ts";
import { Refused, type RequestOptions } from "./request.ts";
import { askService } from "./supervisor.ts";

/* Each service's dead letters, asked for as an admin. Every function throws Refused or Unreachable. */

export interface DeadLetterSummary {
  readonly id: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly reason: string;
  readonly error: string;
  readonly attempts: number;
  readonly replays: number;
  readonly edited: boolean;
  readonly bytes: number;
  /** RFC 3339. */
  readonly parkedAt: string;
}

interface Bytes {
  readonly bytes: number;
  /** `null` where they are not UTF-8. */
  readonly text: string | null;
}

export interface DeadLetterDetails extends Omit<DeadLetterSummary, "edited" | "bytes"> {
  readonly raw: Bytes | null;
  readonly edited: Bytes | null;
  readonly decoded: { readonly message?: object; readonly problem?: string };
  /** Messages of its topic and key that are parked, itself included. */
  readonly lineLength: number;
}

interface Replay {
  readonly id: number;
  readonly outcome: string;
  readonly detail?: string;
}

async function asAdmin<Body>(service: string, path: string, options: RequestOptions = {}): Promise<Body> {
  const ask = async () => askService<Body>(service, path, { ...options, token: await adminToken() });
  try {
    return await ask();
  } catch (error) {
    // The store may have been started from empty data since: then it signs with another key.
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    forgetAdmin();
    return ask();
  }
}

/** Oldest first. @param key only those of this key */
export function listDeadLetters(
  service: string,
  limit: number,
  key?: string,
): Promise<readonly DeadLetterSummary[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(key === undefined ? {} : { key }) });
  return asAdmin(service, `/dead-letters?${query}`);
}

export const showDeadLetter = (service: string, id: number) =>
  asAdmin<DeadLetterDetails>(service, `/dead-letters/${id}`);

/** Puts another message in the place of the one that came. */
export const editDeadLetter = (service: string, id: number, message: object) =>
  asAdmin<DeadLetterDetails>(service, `/dead-letters/${id}/message`, { method: "PUT", body: message });

/** Handles it again; those behind it follow in order. */
export const replayDeadLetter = (service: string, id: number) =>
  asAdmin<Replay>(service, `/dead-letters/${id}/replay`, { method: "POST", body: {} });

/** Throws it away; those behind it go on. */
export const discardDeadLetter = (service: string, id: number, reason: string) =>
  asAdmin<void>(service, `/dead-letters/${id}`, { method: "DELETE", body: { reason } });
