import { eventually } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import type { Prng } from "../simulation/prng.ts";
import { type Notification, Product, read, request } from "../support/answers.ts";
import type { Customer, OrderRequest } from "../support/customer.ts";
import type { OwnStore } from "../support/own-store.ts";
import type { Disk, Disks } from "./disks.ts";
import { RoundRobin } from "./round-robin.ts";

const CUSTOMERS = 6;
/** Between two orders, where no rate is asked for. */
const PAUSE_MS = 20;
/** Where one is, each place in which orders are placed one after the other has so many a second. */
export const PLACE_RATE = 10;
/** What that comes to. */
const USUAL_RATE = 200;
const RETRY_MS = 100;
/** Longer than a gateway waits for the broker. */
const ANSWER_LIMIT_MS = 5_000;
const MAX_LINES = 3;
const MAX_QUANTITY = 3;
/** An admin restocks one product at a time, so much that orders wait, and about half of them end. */
const RESTOCK_MS = 200;
const PIECES_OF_AN_ORDER = 4;
/** Each customer reads on so often. */
const READ_MS = 500;

/** An order that was answered with 202. */
export interface Acceptance {
  /** Whether the answer said that the broker has it. */
  readonly isReplicated: boolean;
  /** Of the gateway that answered. */
  readonly disk: Disk;
}

/** A customer, and what they were told: read at one notification service after the other, from where they had read to. */
export interface Reader {
  readonly customer: Customer;
  readonly told: Notification[];
}

/**
 * Customers who place one order after the other, or as many orders a second as were asked for, and read their notifications.
 * Requests go to all gateways and notification services in turn. An order that is not accepted is sent again unchanged.
 */
export class Load {
  readonly readers: readonly Reader[];
  /** The orders that were answered with 202, by orderId. */
  readonly accepted = new Map<string, Acceptance>();
  readonly #gateways: RoundRobin;
  readonly #notifications: RoundRobin;
  readonly #disks: Disks;
  readonly #prng: Prng;
  readonly #products: readonly string[];
  readonly #done: Promise<unknown>;
  #isStopping = false;
  #count = 0;

  private constructor(
    store: OwnStore,
    disks: Disks,
    customers: readonly Customer[],
    admin: Customer,
    products: readonly string[],
    prng: Prng,
    perSecond: number | undefined,
  ) {
    this.readers = customers.map((customer) => ({ customer, told: [] }));
    this.#gateways = new RoundRobin(store, "api-gateway");
    this.#notifications = new RoundRobin(store, "notification");
    this.#disks = disks;
    this.#products = products;
    this.#prng = prng;
    const places = perSecond === undefined ? CUSTOMERS : Math.ceil(perSecond / PLACE_RATE);
    const everyMs = perSecond === undefined ? undefined : (places * 1_000) / perSecond;
    const placing = Array.from({ length: places }, (_, index) => {
      const customer = customers[index % customers.length];
      return customer === undefined ? undefined : this.#placeOrders(customer, everyMs);
    });
    const perRestock = ((perSecond ?? USUAL_RATE) * PIECES_OF_AN_ORDER * RESTOCK_MS) / 2_000;
    const reading = this.readers.map((reader) => this.#read(reader));
    this.#done = Promise.all([...placing, ...reading, this.#restock(admin, Math.ceil(perRestock))]);
  }

  /**
   * @param disks of the instances of the store
   * @param perSecond as far as the store takes them; without it, each customer sends the next order after the answer
   */
  static async start(store: OwnStore, disks: Disks, prng: Prng, perSecond?: number): Promise<Load> {
    const names = Array.from({ length: CUSTOMERS }, (_, index) => `CUSTOMER_${index}`);
    const customers = await Promise.all(names.map((name) => store.signIn(name)));
    const products = (await store.products()).map(({ productId }) => productId);
    // What one gateway sells, another one may not know yet.
    for (const { service, url } of store.supervisor.instances) {
      if (service !== "api-gateway") continue;
      const sold = async () => read(Type.Array(Product), await request(`${url}/products`));
      await eventually(
        async () => (await sold()).length === products.length,
        "every gateway to sell the same",
      );
    }
    const admin = await store.signIn("CHAOS_ADMIN", "admin");
    return new Load(store, disks, customers, admin, products, prng, perSecond);
  }

  /** Resolves when the last order of every customer is accepted. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
  }

  /** Reads what a customer has not been told yet, at the next notification service. @throws when it does not answer */
  async readOn({ customer, told }: Reader): Promise<void> {
    const instance = this.#notifications.next();
    if (instance === undefined) throw new Error("no notification service is ready");
    const at = { gateway: "", notification: instance.url, limitMs: ANSWER_LIMIT_MS };
    told.push(...(await customer.via(at).resume(told.at(-1)?.cursor)));
  }

  async #read(reader: Reader): Promise<void> {
    while (!this.#isStopping) {
      await this.readOn(reader).catch(() => {});
      await Bun.sleep(READ_MS);
    }
  }

  async #placeOrders(customer: Customer, everyMs: number | undefined): Promise<void> {
    while (!this.#isStopping) {
      const startedAt = performance.now();
      const order = this.#nextOrder();
      let acceptance = await this.#accept(customer, order);
      while (acceptance === undefined) {
        await Bun.sleep(RETRY_MS);
        acceptance = await this.#accept(customer, order);
      }
      this.accepted.set(order.orderId, acceptance);
      await Bun.sleep(everyMs === undefined ? PAUSE_MS : everyMs - (performance.now() - startedAt));
    }
  }

  async #restock(admin: Customer, quantity: number): Promise<void> {
    for (let restock = 0; !this.#isStopping; restock++) {
      const product = this.#prng.pick(this.#products);
      const headers = { "idempotency-key": `chaos-restock-${restock}` };
      const isDone = async () => {
        const gateway = this.#gateways.next();
        if (gateway === undefined) return false;
        const answer = await atGateway(admin, gateway.url).restock(product, quantity, headers);
        return answer.status === 202;
      };
      while (!this.#isStopping && !(await isDone().catch(() => false))) await Bun.sleep(RETRY_MS);
      await Bun.sleep(RESTOCK_MS);
    }
  }

  /**
   * @returns undefined when it is to be sent again
   * @throws when the order is refused: a valid order is accepted or answered with a server error
   */
  async #accept(customer: Customer, order: OrderRequest): Promise<Acceptance | undefined> {
    const gateway = this.#gateways.next();
    if (gateway === undefined) return undefined;
    // Before the request: if the disk is lost meanwhile, it is not the new one that has the order.
    const disk = this.#disks.of(gateway.name);
    const answer = await atGateway(customer, gateway.url)
      .tryToPlace(order)
      .catch(() => undefined);
    if (answer === undefined || answer.status >= 500) return undefined;
    if (answer.status === 202)
      return { isReplicated: answer.headers.get("durability") === "replicated", disk };
    throw new Error(`an order was refused: ${answer.status} ${Bun.inspect(answer.body)}`);
  }

  #nextOrder(): OrderRequest & { orderId: string } {
    const lines = new Map<string, number>();
    for (let line = this.#prng.between(1, MAX_LINES); line > 0; line--) {
      lines.set(this.#prng.pick(this.#products), this.#prng.between(1, MAX_QUANTITY));
    }
    const items = [...lines].map(([productId, quantity]) => ({ productId, quantity }));
    return { orderId: `CHAOS_${this.#count++}`, items };
  }
}

function atGateway(customer: Customer, gateway: string): Customer {
  return customer.via({ gateway, notification: "", limitMs: ANSWER_LIMIT_MS });
}
