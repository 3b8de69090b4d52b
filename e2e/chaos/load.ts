import type { Prng } from "../simulation/prng.ts";
import type { Customer, OrderRequest } from "../support/customer.ts";
import type { OwnStore } from "../support/own-store.ts";

const CUSTOMERS = 6;
/** Breath between two orders of one customer: load, but not so much that nothing else is ever measured. */
const PAUSE_MS = 20;
const RETRY_MS = 100;
const MOST_LINES = 3;
const MOST_OF_ONE = 3;

/** Customers who order without end. One whose order got no answer sends the very same order again. */
export class Load {
  readonly customers: readonly Customer[];
  /** The orders that were answered with a 202, and what is in them. */
  readonly accepted = new Map<string, OrderRequest>();
  readonly #prng: Prng;
  readonly #products: readonly string[];
  readonly #done: Promise<unknown>;
  #ending = false;
  #count = 0;

  private constructor(customers: readonly Customer[], products: readonly string[], prng: Prng) {
    this.customers = customers;
    this.#products = products;
    this.#prng = prng;
    this.#done = Promise.all(customers.map((customer) => this.#shop(customer)));
  }

  static async begin(store: OwnStore, prng: Prng): Promise<Load> {
    const names = Array.from({ length: CUSTOMERS }, (_, index) => `CUSTOMER_${index}`);
    const customers = await Promise.all(names.map((name) => store.signIn(name)));
    const products = (await store.products()).map(({ productId }) => productId);
    return new Load(customers, products, prng);
  }

  /** Resolves when every customer has an answer to their last order. */
  async end(): Promise<void> {
    this.#ending = true;
    await this.#done;
  }

  async #shop(customer: Customer): Promise<void> {
    while (!this.#ending) {
      const order = this.#nextOrder();
      while (!(await this.#isAccepted(customer, order))) await Bun.sleep(RETRY_MS);
      this.accepted.set(order.orderId, order);
      await Bun.sleep(PAUSE_MS);
    }
  }

  async #isAccepted(customer: Customer, order: OrderRequest): Promise<boolean> {
    try {
      const { status, body } = await customer.tryToPlace(order);
      if (status === 202) return true;
      if (status < 500) throw new TypeError(`an order was refused: ${status} ${Bun.inspect(body)}`);
      return false;
    } catch (error) {
      if (error instanceof TypeError && error.message.startsWith("an order")) throw error;
      return false;
    }
  }

  #nextOrder(): OrderRequest & { orderId: string } {
    const lines = new Map<string, number>();
    for (let left = this.#prng.between(1, MOST_LINES); left > 0; left--) {
      lines.set(this.#prng.pick(this.#products), this.#prng.between(1, MOST_OF_ONE));
    }
    const items = [...lines].map(([productId, quantity]) => ({ productId, quantity }));
    return { orderId: `CHAOS_${this.#count++}`, items };
  }
}
