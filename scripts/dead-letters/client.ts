import type {
  shownDetails,
  shownResult,
  shownSummary,
} from "@distributed-messaging/service/admin/dead-letter-views";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { ask, expectAnswer } from "../command/http-client.ts";

export type Summary = ReturnType<typeof shownSummary>;
export type Details = ReturnType<typeof shownDetails>;
export type Result = ReturnType<typeof shownResult>;

/** Which letters are meant; everything that is given must hold. */
export interface Filter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: string;
  readonly error?: string;
  /** As people write it, `1h`. */
  readonly olderThan?: string;
  readonly after?: number;
  readonly limit?: number;
}

/** A thousand messages are handled again within one request. */
const REPLAY_TIMEOUT_MS = 60_000;

/** One service's dead letters. Every method throws UsageError with a line that says what is wrong. */
export class DeadLettersClient {
  readonly #url: string;
  readonly #token: string;

  constructor(
    readonly service: ServiceName,
    url: string,
    token: string,
  ) {
    this.#url = `${url}/dead-letters`;
    this.#token = token;
  }

  list(filter: Filter): Promise<Summary[]> {
    const given = Object.entries(filter).map(([name, value]) => [name, String(value)]);
    const query = new URLSearchParams(given);
    return this.#ask("GET", given.length === 0 ? "" : `?${query}`, 200);
  }

  show(id: number): Promise<Details> {
    return this.#ask("GET", `/${id}`, 200);
  }

  edit(id: number, message: object): Promise<Details> {
    return this.#ask("PUT", `/${id}/message`, 200, message);
  }

  /** @returns what became of each, and how many that match were left for another time */
  replay(
    which: { readonly ids: readonly number[] } | { readonly filter: Filter },
    dryRun: boolean,
  ): Promise<{ results: Result[]; left: number }> {
    return this.#ask("POST", "/replay", 200, { ...which, dryRun });
  }

  discard(id: number, reason: string): Promise<void> {
    return this.#ask("DELETE", `/${id}`, 204, { reason });
  }

  async #ask<Body>(method: string, path: string, status: number, body?: object): Promise<Body> {
    const timeoutMs = REPLAY_TIMEOUT_MS;
    return expectAnswer<Body>(
      await ask(method, this.#url + path, { body, token: this.#token, timeoutMs }),
      status,
    );
  }
}
