import type {
  ShownDeadLetter,
  ShownDeadLetterDetails,
  ShownReplayResult,
} from "@distributed-messaging/service/dead-letters";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { expectAnswer, request } from "../command/client.ts";

export type Summary = ShownDeadLetter;
export type Details = ShownDeadLetterDetails;
export type Result = ShownReplayResult;

/** Selects dead letters; all given fields must match. */
export interface Filter {
  readonly topic?: string;
  readonly key?: string;
  readonly reason?: string;
  readonly error?: string;
  /** A duration such as `1h`. */
  readonly olderThan?: string;
  readonly after?: number;
  readonly limit?: number;
}

/** One request can replay a thousand messages. */
const REPLAY_TIMEOUT_MS = 60_000;

/** The dead letters of one service. Every method throws UsageError when the request fails. */
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
    return this.#request("GET", given.length === 0 ? "" : `?${query}`, 200);
  }

  show(id: number): Promise<Details> {
    return this.#request("GET", `/${id}`, 200);
  }

  edit(id: number, message: object): Promise<Details> {
    return this.#request("PUT", `/${id}/message`, 200, message);
  }

  /** @returns the outcome of each replay, and how many matching dead letters were not tried */
  replay(
    which: { readonly ids: readonly number[] } | { readonly filter: Filter },
    dryRun: boolean,
  ): Promise<{ results: Result[]; left: number }> {
    return this.#request("POST", "/replay", 200, { ...which, dryRun });
  }

  discard(id: number, reason: string): Promise<void> {
    return this.#request("DELETE", `/${id}`, 204, { reason });
  }

  async #request<Body>(method: string, path: string, status: number, body?: object): Promise<Body> {
    const timeoutMs = REPLAY_TIMEOUT_MS;
    return expectAnswer<Body>(
      await request(method, this.#url + path, { body, token: this.#token, timeoutMs }),
      status,
    );
  }
}
