import { eventually } from "@distributed-messaging/messaging/testing";
import { type Static, Type } from "@sinclair/typebox";
import {
  Accepted,
  type Answer,
  Notification,
  Order,
  read,
  request,
  Session,
  type Status,
} from "./answers.ts";
import { Listener } from "./listener.ts";

export interface OrderRequest {
  readonly orderId?: string;
  readonly items: readonly { readonly productId: string; readonly quantity: number }[];
}

/** The orders of `bun run post-order-1` and `post-order-2`. */
export const demoOrders = {
  ORDER_001: {
    orderId: "ORDER_001",
    items: [
      { productId: "PRODUCT_001", quantity: 3 },
      { productId: "PRODUCT_002", quantity: 2 },
    ],
  },
  ORDER_002: { orderId: "ORDER_002", items: [{ productId: "PRODUCT_001", quantity: 2 }] },
} as const satisfies Record<string, OrderRequest>;

/** The addresses of the services that customers use. */
interface Addresses {
  readonly gateway: string;
  readonly notification: string;
  /** After which the client gives a request up. */
  readonly limitMs?: number;
}

/** A client that is signed in. */
export class Customer {
  private constructor(
    readonly session: Static<typeof Session>,
    private readonly at: Addresses,
  ) {}

  static async signIn(at: Addresses, customerId: string, role?: "customer" | "admin"): Promise<Customer> {
    const init = { method: "POST", ...jsonBody({ customerId, role }) };
    return new Customer(read(Session, await request(`${at.gateway}/sessions`, init), 201), at);
  }

  /** The same client, at other addresses: a token is valid at every instance. */
  via(at: Addresses): Customer {
    return new Customer(this.session, at);
  }

  get id(): string {
    return this.session.customerId;
  }

  get authorization(): Record<string, string> {
    return { authorization: `Bearer ${this.session.token}` };
  }

  /** Sends any JSON as an order. */
  tryToPlace(order: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const body = jsonBody(order, { ...this.authorization, ...headers });
    return this.#request(`${this.at.gateway}/orders`, { method: "POST", ...body });
  }

  /** Places an order. @throws when it is not accepted */
  async place(order: OrderRequest, headers: Record<string, string> = {}): Promise<Static<typeof Accepted>> {
    return read(Accepted, await this.tryToPlace(order, headers), 202);
  }

  /** Places an order, and sends it again until it is accepted. */
  async placeWithRetries(order: OrderRequest & { readonly orderId: string }): Promise<void> {
    await eventually(() => this.place(order), `the gateway to accept ${order.orderId}`);
  }

  /** Requests the cancellation of an order. */
  cancel(orderId: string, headers: Record<string, string> = {}): Promise<Answer> {
    const url = `${this.at.gateway}/orders/${orderId}/cancel`;
    return this.#request(url, { method: "POST", headers: { ...this.authorization, ...headers } });
  }

  /** Restocks a product, as an admin. */
  restock(productId: string, quantity: number, headers: Record<string, string> = {}): Promise<Answer> {
    const body = jsonBody({ quantity }, { ...this.authorization, ...headers });
    return this.#request(`${this.at.gateway}/products/${productId}/restock`, { method: "POST", ...body });
  }

  askForOrder(orderId: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#request(`${this.at.gateway}/orders/${orderId}`, {
      headers: { ...this.authorization, ...headers },
    });
  }

  async order(orderId: string): Promise<Order> {
    return read(Order, await this.askForOrder(orderId));
  }

  /** A page of orders, newest first. @param query `?limit=2&after=…` */
  async orders(query = ""): Promise<Order[]> {
    const answer = await this.#request(`${this.at.gateway}/orders${query}`, { headers: this.authorization });
    return read(Type.Array(Order), answer);
  }

  /** Every order, newest first. */
  async allOrders(): Promise<Order[]> {
    const all: Order[] = [];
    for (;;) {
      const last = all.at(-1);
      const page = await this.orders(`?limit=100${last === undefined ? "" : `&after=${last.orderId}`}`);
      all.push(...page);
      if (page.length < 100) return all;
    }
  }

  /** Waits until the order has one of the statuses. */
  async until(orderId: string, ...statuses: readonly Status[]): Promise<Order> {
    return eventually(
      async () => {
        const order = await this.order(orderId);
        if (!statuses.includes(order.status)) throw new Error(`it is ${order.status}`);
        return order;
      },
      `${orderId} to be ${statuses.join(" or ")}`,
    );
  }

  /** Every notification after a number, oldest first. */
  async notifications(after = 0): Promise<Notification[]> {
    const all: Notification[] = [];
    for (let seq = after; ; ) {
      const url = `${this.at.notification}/notifications?after=${seq}`;
      const page = read(Type.Array(Notification), await this.#request(url, { headers: this.authorization }));
      all.push(...page);
      const last = page.at(-1);
      if (last === undefined) return all;
      seq = last.seq;
    }
  }

  /** Every notification after a cursor of whichever instance. */
  async resume(cursor = "0"): Promise<Notification[]> {
    const all: Notification[] = [];
    for (let after = cursor; ; ) {
      const url = `${this.at.notification}/notifications?after=${after}`;
      const page = read(Type.Array(Notification), await this.#request(url, { headers: this.authorization }));
      const last = page.at(-1);
      if (last === undefined) return all;
      all.push(...page);
      after = last.cursor;
    }
  }

  /** The types of an order's notifications, oldest first. */
  async notificationTypes(orderId: string): Promise<string[]> {
    const all = await this.notifications();
    return all.filter((notification) => notification.orderId === orderId).map(({ type }) => type);
  }

  /** Receives notifications after a number over a WebSocket. */
  listen(after = 0): Listener {
    const url = `${this.at.notification.replace(/^http/, "ws")}/notifications?after=${after}`;
    return new Listener(url, ["bearer", this.session.token]);
  }

  #request(url: string, init: RequestInit = {}): Promise<Answer> {
    const { limitMs } = this.at;
    return request(url, limitMs === undefined ? init : { ...init, signal: AbortSignal.timeout(limitMs) });
  }
}

function jsonBody(body: unknown, headers: Record<string, string> = {}) {
  return { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } };
}
