import { errorText } from "@distributed-messaging/messaging";
import { operatorToken } from "@distributed-messaging/service/operator";
import type { Settings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { CommandFailed } from "./command.ts";

/* HTTP clients of a running store. Every function and method throws CommandFailed when a request fails. */

const REQUEST_TIMEOUT_MS = 10_000;

export interface RequestOptions {
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly token?: string | undefined;
  readonly timeoutMs?: number;
}

/** Sends a request. @throws CommandFailed when there is no answer */
export async function request(
  method: string,
  url: string,
  { body, token, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions = {},
): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new CommandFailed(`no answer from ${new URL(url).origin}; is the store running (npm start)?`);
  }
}

/** The JSON of an answer; undefined for a 204. @throws CommandFailed when the answer has another status */
export async function expectAnswer<Body>(response: Response, status: number): Promise<Body> {
  const text = await response.text();
  const { origin } = new URL(response.url);
  if (response.status === status) {
    try {
      return (status === 204 ? undefined : JSON.parse(text)) as Body;
    } catch {
      throw new CommandFailed(`${origin} is not a service of the store`);
    }
  }
  throw new CommandFailed([`${origin} answered ${response.status}`, ...problemLines(text)].join(": "));
}

/** The detail and the field errors of an RFC 9457 problem. */
function problemLines(text: string): string[] {
  try {
    const problem: { title?: string; detail?: string; errors?: { path: string; message: string }[] } =
      JSON.parse(text);
    const errors = (problem.errors ?? []).map(({ path, message }) => `${path} ${message}`);
    return [problem.detail ?? problem.title ?? "no reason given", ...errors];
  } catch {
    return [];
  }
}

/** Creates the demo catalogue; products that exist stay as they are. @param inventory the service's address */
export async function seedCatalogue(inventory: string): Promise<void> {
  await expectAnswer(await request("POST", `${inventory}/automation-testing/seed`), 200);
}

function explicitToken(given: string | undefined): string | undefined {
  return (given ?? process.env.TOKEN?.trim()) || undefined;
}

/** Whether a token comes from an option or the environment, so that no other one is looked for. */
export function isTokenGiven(given: string | undefined): boolean {
  return explicitToken(given) !== undefined;
}

/**
 * An admin's token: the given one, TOKEN in the environment, one that is signed with the operators' key, or, where
 * there is no such file, one of the gateway's demo sign-in.
 */
export async function adminToken(
  { operatorKeyFile, host, ports }: Pick<Settings, "operatorKeyFile" | "host" | "ports">,
  given: string | undefined,
): Promise<string> {
  const explicit = explicitToken(given);
  if (explicit !== undefined) return explicit;
  const signed = await operatorToken(operatorKeyFile).catch((error: unknown) => {
    throw new CommandFailed(`OPERATOR_KEY_FILE: ${operatorKeyFile}: ${errorText(error)}`);
  });
  return signed ?? new GatewayClient(urlOf(host, ports["api-gateway"])).signIn("operator", "admin");
}

/** The fields of an order that the commands show. */
export interface OrderView {
  readonly orderId: string;
  readonly status: string;
  readonly total?: { readonly amount: number; readonly currency: string };
  readonly shortages?: readonly { readonly productId: string; readonly missing: number }[];
  readonly reason?: string;
}

export interface OrderLine {
  readonly productId: string;
  readonly quantity: number;
}

/** A user who signs in at the gateway. */
export class GatewayClient {
  #token: string | undefined;

  /** @param url the gateway's address, without a slash at its end */
  constructor(readonly url: string) {}

  /** @returns the token, which the client uses from now on */
  async signIn(customerId: string, role: "customer" | "admin" = "customer"): Promise<string> {
    const response = await this.#request("POST", "/sessions", { customerId, role });
    if (response.status === 404) {
      throw new CommandFailed(`${this.url} has no demo sign-in; start it with DEMO_SIGN_IN=true`);
    }
    const { token } = await expectAnswer<{ token: string }>(response, 201);
    this.#token = token;
    return token;
  }

  async productIds(): Promise<string[]> {
    const response = await this.#request("GET", "/products");
    const products = await expectAnswer<{ productId: string }[]>(response, 200);
    return products.map(({ productId }) => productId);
  }

  /** @returns whether the same order had been placed before */
  async placeOrder(orderId: string, items: readonly OrderLine[]): Promise<{ replayed: boolean }> {
    const response = await this.#request("POST", "/orders", { orderId, items });
    await expectAnswer(response, 202);
    return { replayed: response.headers.get("idempotent-replayed") === "true" };
  }

  async order(orderId: string): Promise<OrderView> {
    return expectAnswer<OrderView>(await this.#request("GET", `/orders/${encodeURIComponent(orderId)}`), 200);
  }

  #request(method: string, path: string, body?: unknown): Promise<Response> {
    return request(method, `${this.url}${path}`, { body, token: this.#token });
  }
}
