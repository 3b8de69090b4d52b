import type { Prng } from "../simulation/prng.ts";
import type { Customer, OrderRequest } from "../support/customer.ts";
import type { OwnStore } from "../support/own-store.ts";

const CUSTOMERS = 6;
/** Between two orders, where no rate is asked for. */
const PAUSE_MS = 20;
/** Where one is, each place in which orders are placed one after the other has so many a second. */
const PLACE_RATE = 10;
/** What that comes to. */
const USUAL_RATE = 200;
const RETRY_MS = 100;
const MAX_LINES = 3;
const MAX_QUANTITY = 3;
/** An admin restocks one product at a time, so much that orders wait, and about half of them end. */
const RESTOCK_MS = 200;
const PIECES_OF_AN_ORDER = 4;

/**
 * Customers who place one order after the other, or as many orders a second as were asked for. An order that is not accepted
 * is sent again unchanged.
 */
export class Load {
  readonly customers: readonly Customer[];
  /** The orders that were answered with 202, by orderId. */
  readonly accepted = new Map<string, OrderRequest>();
  readonly #prng: Prng;
  readonly #products: readonly string[];
  readonly #done: Promise<unknown>;
  #isStopping = false;
  #count = 0;

  private constructor(
    customers: readonly Customer[],
    admin: Customer,
    products: readonly string[],
    prng: Prng,
    perSecond: number | undefined,
  ) {
    this.customers = customers;
    this.#products = products;
    this.#prng = prng;
    const places = perSecond === undefined ? CUSTOMERS : Math.ceil(perSecond / PLACE_RATE);
    const everyMs = perSecond === undefined ? undefined : (places * 1_000) / perSecond;
    const placing = Array.from({ length: places }, (_, index) => {
      const customer = customers[index % customers.length];
      return customer === undefined ? undefined : this.#placeOrders(customer, everyMs);
    });
    const perRestock = ((perSecond ?? USUAL_RATE) * PIECES_OF_AN_ORDER * RESTOCK_MS) / 2_000;
    this.#done = Promise.all([...placing, this.#restock(admin, Math.ceil(perRestock))]);
  }

  /** @param perSecond as far as the store takes them; without it, each customer sends the next order after the answer */
  static async start(store: OwnStore, prng: Prng, perSecond?: number): Promise<Load> {
    const names = Array.from({ length: CUSTOMERS }, (_, index) => `CUSTOMER_${index}`);
    const customers = await Promise.all(names.map((name) => store.signIn(name)));
    const products = (await store.products()).map(({ productId }) => productId);
    return new Load(customers, await store.signIn("CHAOS_ADMIN", "admin"), products, prng, perSecond);
  }

  /** Resolves when the last order of every customer is accepted. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
  }

  async #placeOrders(customer: Customer, everyMs: number | undefined): Promise<void> {
    while (!this.#isStopping) {
      const startedAt = performance.now();
      const order = this.#nextOrder();
      while (!(await this.#isAccepted(customer, order))) await Bun.sleep(RETRY_MS);
      this.accepted.set(order.orderId, order);
      await Bun.sleep(everyMs === undefined ? PAUSE_MS : everyMs - (performance.now() - startedAt));
    }
  }

  async #restock(admin: Customer, quantity: number): Promise<void> {
    for (let restock = 0; !this.#isStopping; restock++) {
      const product = this.#prng.pick(this.#products);
      const headers = { "idempotency-key": `chaos-restock-${restock}` };
      const isDone = () =>
        admin.restock(product, quantity, headers).then(
          ({ status }) => status === 202,
          () => false,
        );
      while (!this.#isStopping && !(await isDone())) await Bun.sleep(RETRY_MS);
      await Bun.sleep(RESTOCK_MS);
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
