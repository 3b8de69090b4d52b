import { UsageError } from "./settings.ts";

/** What the gateway says about an order; see interfaces in the README. Only what is shown here is named. */
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

const REQUEST_TIMEOUT_MS = 10_000;

/** A customer at the store's front door. Every method throws UsageError with a line that says what is wrong. */
export class GatewayClient {
  #token = "";

  constructor(readonly url: string) {}

  async signIn(customerId: string): Promise<void> {
    const response = await this.#request("POST", "/sessions", { customerId });
    if (response.status === 404) {
      throw new UsageError(`${this.url} has no demo sign-in; start it with DEMO_SIGN_IN=true`);
    }
    const { token } = await this.#expect<{ token: string }>(response, 201);
    this.#token = token;
  }

  async productIds(): Promise<string[]> {
    const response = await this.#request("GET", "/products");
    const products = await this.#expect<{ productId: string }[]>(response, 200);
    return products.map(({ productId }) => productId);
  }

  /** @returns whether the very same order had been placed before */
  async placeOrder(orderId: string, items: readonly OrderLine[]): Promise<{ replayed: boolean }> {
    const response = await this.#request("POST", "/orders", { orderId, items });
    await this.#expect(response, 202);
    return { replayed: response.headers.get("idempotent-replayed") === "true" };
  }

  async order(orderId: string): Promise<OrderView> {
    return this.#expect<OrderView>(await this.#request("GET", `/orders/${orderId}`), 200);
  }

  async #request(method: string, path: string, body?: unknown): Promise<Response> {
    try {
      return await fetch(`${this.url}${path}`, {
        method,
        headers: {
          "content-type": "application/json",
          ...(this.#token === "" ? {} : { authorization: `Bearer ${this.#token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
    } catch {
      throw new UsageError(`no answer from ${this.url}; does the store run (npm start)?`);
    }
  }

  async #expect<Body>(response: Response, status: number): Promise<Body> {
    const text = await response.text();
    if (response.status === status) {
      try {
        return JSON.parse(text) as Body;
      } catch {
        throw new UsageError(`${this.url} does not answer as the store's gateway does`);
      }
    }
    throw new UsageError([`${this.url} answered ${response.status}`, ...problemLines(text)].join(": "));
  }
}

/** What an RFC 9457 problem says, each wrong field with it. */
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
