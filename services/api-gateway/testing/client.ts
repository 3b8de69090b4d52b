import type { Role } from "@distributed-messaging/service/identity/auth";
import type { TestGateway } from "./gateway.ts";

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly replayed: boolean;
}

/** Somebody who signed in at a gateway. */
export class TestClient {
  readonly #gateway: TestGateway;
  readonly #token: string;

  private constructor(gateway: TestGateway, token: string) {
    this.#gateway = gateway;
    this.#token = token;
  }

  static async signIn(
    gateway: TestGateway,
    customerId: string,
    role: Role = "customer",
  ): Promise<TestClient> {
    return new TestClient(gateway, await gateway.tokenOf(customerId, role));
  }

  get(path: string): Promise<Answer> {
    return this.#ask("GET", path);
  }

  /** @param key an Idempotency-Key */
  post(path: string, body?: object, key?: string): Promise<Answer> {
    return this.#ask("POST", path, body, key);
  }

  place(orderId: string, quantity = 1, key?: string): Promise<Answer> {
    return this.post("/orders", { orderId, items: [{ productId: "CUP", quantity }] }, key);
  }

  cancel(orderId: string, key?: string): Promise<Answer> {
    return this.post(`/orders/${orderId}/cancel`, undefined, key);
  }

  restock(quantity: number, key?: string, productId = "CUP"): Promise<Answer> {
    return this.post(`/products/${productId}/restock`, { quantity }, key);
  }

  async #ask(method: string, path: string, body?: object, key?: string): Promise<Answer> {
    const response = await fetch(this.#gateway.life.server.url + path, {
      method,
      keepalive: false,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(key === undefined ? {} : { "idempotency-key": key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      body: (await response.json()) as Record<string, unknown>,
      replayed: response.headers.get("idempotent-replayed") === "true",
    };
  }
}
