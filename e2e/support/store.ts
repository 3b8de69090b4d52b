import { eventually } from "@distributed-messaging/messaging/testing";
import { forEachService, type ServiceName, services } from "@distributed-messaging/services/registry";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { type Answer, ask, Product, read, Stock } from "./answers.ts";
import { Customer } from "./customer.ts";
import { Records } from "./records.ts";

/** With `bun run test-e2e-local` the tests use a store that runs already, in place of ones of their own. */
export const isRunningElsewhere = process.env.E2E_RUNNING === "true";

/** The store through its public doors: HTTP, WebSocket and the broker. */
export class Store {
  readonly brokers: string;
  /** Every record that goes through the broker. */
  readonly records: Records;
  readonly #addresses: Readonly<Record<ServiceName, string>>;
  /** A store that runs remembers the orders of earlier tests. */
  readonly #suffix: string;

  constructor(options: { addresses: Record<ServiceName, string>; brokers: string; isFresh: boolean }) {
    this.#addresses = options.addresses;
    this.brokers = options.brokers;
    this.records = new Records(options.brokers);
    this.#suffix = options.isFresh ? "" : `-${crypto.randomUUID().slice(0, 8)}`;
  }

  /** The store that runs where the settings say, or their defaults. */
  static running(env: Readonly<Record<string, string | undefined>> = process.env): Store {
    const address = (name: ServiceName) =>
      urlOf(env.HOST ?? "127.0.0.1", Number(env[services[name].setting] ?? services[name].port));
    return new Store({
      addresses: forEachService(address),
      brokers: env.KAFKA_BROKERS ?? "localhost:9092",
      isFresh: false,
    });
  }

  /** An id for an order or a customer: the name itself in a store that has never seen it. */
  id(name: string): string {
    return `${name}${this.#suffix}`;
  }

  url(name: ServiceName): string {
    return this.#addresses[name];
  }

  ask(name: ServiceName, path: string, init: RequestInit = {}): Promise<Answer> {
    return ask(`${this.url(name)}${path}`, init);
  }

  signIn(customerId: string, role?: "customer" | "admin"): Promise<Customer> {
    const at = { gateway: this.url("api-gateway"), notification: this.url("notification") };
    return Customer.signIn(at, this.id(customerId), role);
  }

  /** The demo catalogue with all that it has on hand, as if nothing had ever been sold. */
  async seed(): Promise<readonly Product[]> {
    read(Type.Unknown(), await this.ask("inventory", "/automation-testing/all", { method: "DELETE" }));
    await eventually(async () => (await this.products()).length === 0, "the gateway to sell nothing");
    read(Type.Unknown(), await this.ask("inventory", "/automation-testing/seed", { method: "POST" }));
    return eventually(async () => {
      const products = await this.products();
      return products.length === 12 && products;
    }, "the gateway to sell the demo catalogue");
  }

  /** What the gateway sells. */
  async products(): Promise<Product[]> {
    return read(Type.Array(Product), await this.ask("api-gateway", "/products"));
  }

  /** What the inventory has of a product. @throws when the figures do not add up */
  async stock(productId: string): Promise<Stock> {
    const stock = read(Stock, await this.ask("inventory", `/stock/${productId}`));
    if (stock.onHand !== stock.available + stock.reserved) {
      throw new Error(`the stock does not add up: ${Bun.inspect(stock)}`);
    }
    return stock;
  }

  /** One figure of a service's `/metrics`. */
  async metric(name: ServiceName, metric: string): Promise<number> {
    const text = read(Type.String(), await this.ask(name, "/metrics"));
    const value = new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`${name} has no figure called ${metric}`);
    return Number(value);
  }
}
