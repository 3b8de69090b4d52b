import { eventually } from "@distributed-messaging/messaging/testing";
import { forEachService, type ServiceName } from "@distributed-messaging/services/registry";
import { metricIn } from "@distributed-messaging/supervisor/services";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { Type } from "@sinclair/typebox";
import { type Answer, Product, read, request, Stock } from "./answers.ts";
import { Customer } from "./customer.ts";
import { Records } from "./records.ts";

/** Whether the tests use a running store, as `bun run test-e2e-local` does, instead of starting their own. */
export const isRunningElsewhere = process.env.E2E_RUNNING === "true";

/** A store as its clients see it: HTTP, WebSocket and the broker. */
export class Store {
  readonly brokers: string;
  readonly records: Records;
  readonly #addresses: Readonly<Record<ServiceName, string>>;
  /** A running store has the orders of earlier tests: this makes new ids. */
  readonly #suffix: string;

  constructor(options: { addresses: Record<ServiceName, string>; brokers: string; isFresh: boolean }) {
    this.#addresses = options.addresses;
    this.brokers = options.brokers;
    this.records = new Records(options.brokers);
    this.#suffix = options.isFresh ? "" : `-${crypto.randomUUID().slice(0, 8)}`;
  }

  /** The running store of the settings in the environment. */
  static running(): Store {
    const { host, ports, brokers } = readSettings(process.env);
    return new Store({
      addresses: forEachService((name) => urlOf(host, ports[name])),
      brokers: brokers ?? `localhost:${ports.broker}`,
      isFresh: false,
    });
  }

  /** The id of an order or a customer: the name itself in a store without earlier tests. */
  id(name: string): string {
    return `${name}${this.#suffix}`;
  }

  url(name: ServiceName): string {
    return this.#addresses[name];
  }

  request(name: ServiceName, path: string, init: RequestInit = {}): Promise<Answer> {
    return request(`${this.url(name)}${path}`, init);
  }

  signIn(customerId: string, role?: "customer" | "admin"): Promise<Customer> {
    const at = { gateway: this.url("api-gateway"), notification: this.url("notification") };
    return Customer.signIn(at, this.id(customerId), role);
  }

  /** Resets the stock to the demo catalogue, and waits until the gateway has it. */
  async seed(): Promise<readonly Product[]> {
    await this.deleteAll();
    await eventually(async () => (await this.products()).length === 0, "the gateway to sell nothing");
    read(Type.Unknown(), await this.request("inventory", "/automation-testing/seed", { method: "POST" }));
    return eventually(async () => {
      const products = await this.products();
      return products.length === 12 && products;
    }, "the gateway to sell the demo catalogue");
  }

  /** Withdraws every product and deletes every reservation. */
  async deleteAll(): Promise<void> {
    const { authorization: headers } = await this.signIn("ADMIN_seed", "admin");
    read(
      Type.Unknown(),
      await this.request("inventory", "/automation-testing/all", { method: "DELETE", headers }),
    );
  }

  /** The gateway's catalogue. */
  async products(): Promise<Product[]> {
    return read(Type.Array(Product), await this.request("api-gateway", "/products"));
  }

  /** The inventory's stock of a product. @throws when onHand is not available + reserved */
  async stock(productId: string): Promise<Stock> {
    const stock = read(Stock, await this.request("inventory", `/stock/${productId}`));
    if (stock.onHand !== stock.available + stock.reserved) {
      throw new Error(`the stock does not add up: ${Bun.inspect(stock)}`);
    }
    return stock;
  }

  /** A metric of a service. @throws when there is none of that name */
  async metric(name: ServiceName, metric: string): Promise<number> {
    const value = metricIn(read(Type.String(), await this.request(name, "/metrics")), metric);
    if (value === null) throw new Error(`${name} has no metric ${metric}`);
    return value;
  }
}
