import type { Environment } from "@distributed-messaging/service/config";
import type { Role } from "@distributed-messaging/service/identity";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { gatewayRoutes } from "../http.ts";
import { service } from "../service.ts";

/** A gateway in this process, with its routes. No time passes for its rate limits: slow tests get no further requests. */
export const startGatewayFixture = (env: Environment = {}, demoSignIn = true) =>
  new ServiceFixture(service, {
    env,
    routes: ({ config, parts: { store, sessions }, messaging, verifier, log }) =>
      gatewayRoutes({
        ...{ store, sessions, verifier, messaging, log, demoSignIn, outboxLimit: 100 },
        accept: config.ACCEPT,
        rateLimits: {
          orders: config.RATE_LIMIT_ORDERS,
          cancels: config.RATE_LIMIT_CANCELS,
          signIns: config.RATE_LIMIT_SIGN_INS,
        },
        monotonic: () => 0,
        trustedProxies: config.TRUSTED_PROXIES,
      }),
  }).start();
export type GatewayFixture = Awaited<ReturnType<typeof startGatewayFixture>>;

export async function signIn(
  gateway: GatewayFixture,
  customerId: string,
  role: Role = "customer",
): Promise<Client> {
  const { token } = await gateway.parts.sessions.signIn(customerId, role, Date.now());
  return new Client(gateway, token);
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly replayed: boolean;
  /** Its Consistency-Token. */
  readonly consistency: string | undefined;
  readonly durability: string | undefined;
}

/** A signed-in customer. */
export class Client {
  readonly #gateway: GatewayFixture;
  readonly token: string;

  constructor(gateway: GatewayFixture, token: string) {
    this.#gateway = gateway;
    this.token = token;
  }

  /** @param token a Consistency-Token */
  get(path: string, token?: string): Promise<Answer> {
    return this.#request("GET", path, undefined, undefined, token);
  }

  /** @param key an Idempotency-Key */
  post(path: string, body?: object, key?: string): Promise<Answer> {
    return this.#request("POST", path, body, key);
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

  async #request(method: string, path: string, body?: object, key?: string, token?: string): Promise<Answer> {
    const response = await fetch(this.#gateway.url + path, {
      method,
      keepalive: false,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(key === undefined ? {} : { "idempotency-key": key }),
        ...(token === undefined ? {} : { "consistency-token": token }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      body: (await response.json()) as Record<string, unknown>,
      replayed: response.headers.get("idempotent-replayed") === "true",
      consistency: response.headers.get("consistency-token") ?? undefined,
      durability: response.headers.get("durability") ?? undefined,
    };
  }
}
