import type { Prng } from "../simulation/prng.ts";
import type { Customer, OrderRequest } from "../support/customer.ts";
import type { OwnStore } from "../support/own-store.ts";

const CUSTOMERS = 6;
/** Between two orders of a customer. */
const PAUSE_MS = 20;
const RETRY_MS = 100;
const MAX_LINES = 3;
const MAX_QUANTITY = 3;

/** Customers who place one order after the other. An order that is not accepted is sent again unchanged. */
export class Load {
  readonly customers: readonly Customer[];
  /** The orders that were answered with 202, by orderId. */
  readonly accepted = new Map<string, OrderRequest>();
  readonly #prng: Prng;
  readonly #products: readonly string[];
  readonly #done: Promise<unknown>;
  #isStopping = false;
  #count = 0;

  private constructor(customers: readonly Customer[], products: readonly string[], prng: Prng) {
    this.customers = customers;
    this.#products = products;
    this.#prng = prng;
    this.#done = Promise.all(customers.map((customer) => this.#placeOrders(customer)));
  }

  static async start(store: OwnStore, prng: Prng): Promise<Load> {
    const names = Array.from({ length: CUSTOMERS }, (_, index) => `CUSTOMER_${index}`);
    const customers = await Promise.all(names.map((name) => store.signIn(name)));
    const products = (await store.products()).map(({ productId }) => productId);
    return new Load(customers, products, prng);
  }

  /** Resolves when the last order of every customer is accepted. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
  }

  async #placeOrders(customer: Customer): Promise<void> {
    while (!this.#isStopping) {
      const order = this.#nextOrder();
      while (!(await this.#isAccepted(customer, order))) await Bun.sleep(RETRY_MS);
      this.accepted.set(order.orderId, order);
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** @throws when the order is refused: a valid order is accepted or answered with a server error */
  async #isAccepted(customer: Customer, order: OrderRequest): Promise<boolean> {
    const answer = await customer.tryToPlace(order).catch(() => undefined);
    if (answer === undefined || answer.status >= 500) return false;
    if (answer.status === 202) return true;
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
