import { ask, expectAnswer } from "../command/http-client.ts";
import { UsageError } from "../start/settings.ts";

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

/** A customer at the store's front door. Every method throws UsageError with a line that says what is wrong. */
export class GatewayClient {
  #token: string | undefined;

  constructor(readonly url: string) {}

  /** @returns the token, which this client uses from now on */
  async signIn(customerId: string, role: "customer" | "admin" = "customer"): Promise<string> {
    const response = await this.#request("POST", "/sessions", { customerId, role });
    if (response.status === 404) {
      throw new UsageError(`${this.url} has no demo sign-in; start it with DEMO_SIGN_IN=true`);
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

  /** @returns whether the very same order had been placed before */
  async placeOrder(orderId: string, items: readonly OrderLine[]): Promise<{ replayed: boolean }> {
    const response = await this.#request("POST", "/orders", { orderId, items });
    await expectAnswer(response, 202);
    return { replayed: response.headers.get("idempotent-replayed") === "true" };
  }

  async order(orderId: string): Promise<OrderView> {
    return expectAnswer<OrderView>(await this.#request("GET", `/orders/${orderId}`), 200);
  }

  #request(method: string, path: string, body?: unknown): Promise<Response> {
    return ask(method, `${this.url}${path}`, { body, token: this.#token });
  }
}
