import { MAX_QUANTITY } from "@distributed-messaging/contracts";
import type { Errand, Town } from "./errand.ts";
import { CancelErrand, LookErrand, RestockErrand } from "./other-errands.ts";
import { type AcceptedOrder, PlaceErrand, type Wish } from "./place-errand.ts";
import type { Prng } from "./prng.ts";
import type { StockedProduct } from "./services.ts";

/** Between two bursts of orders, on average. */
const PAUSE_MS = 1_500;
/** The most of one product that one order asks for. */
const MOST_OF_ONE = 200;
/** For how long an order is left alone before its customer thinks better of it, on average. */
const CANCEL_MS = 3_000;

/** What the store sells in this run: some of it plenty, some of it too little for everybody. */
export function drawProducts(prng: Prng, orders: number): StockedProduct[] {
  const count = prng.between(3, 8);
  return Array.from({ length: count }, (_, index) => ({
    productId: `PRODUCT_${index + 1}`,
    name: `Product ${index + 1}`,
    price: { amount: prng.between(1, 100_000), currency: "EUR" },
    onHand: prng.chance(0.5) ? prng.between(0, orders) : orders * prng.between(5, 300),
  }));
}

/** The customers and all that they do, planned from the seed before anything happens. */
export class Workload {
  readonly accepted: AcceptedOrder[] = [];
  /** One for each order. */
  readonly placing: PlaceErrand[] = [];
  readonly #errands: Errand[] = [];
  /** When the last order is placed. */
  readonly lastsMs: number;
  readonly #town: Town;
  readonly #products: readonly StockedProduct[];
  readonly #prng: Prng;
  #restocks = 0;

  constructor(orders: number, products: readonly StockedProduct[], town: Town, prng: Prng) {
    this.#town = town;
    this.#products = products;
    this.#prng = prng;
    // Some stores are restocked often, some never; in some most customers change their minds.
    const [cancels, restocks] = [prng.float() * 0.5, prng.float() * 0.6];
    let atMs = 0;
    for (let index = 0; index < orders; index += 1) {
      if (prng.chance(0.5)) atMs += prng.exponential(PAUSE_MS);
      this.#planOrder(index, atMs, cancels);
      if (prng.chance(restocks)) this.#planRestock(atMs, prng.between(1, 30));
    }
    this.lastsMs = atMs;
  }

  /** How much has not come to its end. */
  get open(): number {
    return this.#errands.filter(({ done }) => !done).length;
  }

  /** Brings more of everything than all orders together can be waiting for. */
  bringPlenty(): void {
    for (const { productId } of this.#products) {
      for (let left = this.placing.length * MOST_OF_ONE; left > 0; left -= MAX_QUANTITY) {
        this.#planRestock(0, Math.min(left, MAX_QUANTITY), productId);
      }
    }
  }

  #planOrder(index: number, atMs: number, cancels: number): void {
    const prng = this.#prng.fork(`order ${index}`);
    const wish = drawWish(index, this.#products, prng);
    const placing = new PlaceErrand(wish, this.#town, prng, (order) => {
      this.accepted.push(order);
      if (prng.chance(cancels)) {
        this.#plan(prng.exponential(CANCEL_MS), new CancelErrand(order, this.#town, prng));
      }
      if (prng.chance(0.3)) this.#plan(prng.exponential(CANCEL_MS), new LookErrand(order, this.#town, prng));
    });
    this.placing.push(placing);
    this.#plan(atMs, placing);
  }

  #planRestock(atMs: number, quantity: number, productId = this.#prng.pick(this.#products).productId): void {
    this.#restocks += 1;
    const request = { productId, quantity, key: `restock-${this.#restocks}` };
    this.#plan(atMs, new RestockErrand(request, this.#town, this.#prng.fork(request.key)));
  }

  #plan(afterMs: number, errand: Errand): void {
    this.#errands.push(errand);
    errand.plan(afterMs);
  }
}

function drawWish(index: number, products: readonly StockedProduct[], prng: Prng): Wish {
  const orderId = prng.chance(0.5) ? `ORDER_${index}` : undefined;
  const key = prng.chance(orderId === undefined ? 0.8 : 0.5) ? `key-${index}` : undefined;
  const lines = prng.chance(0.1) ? products.length : prng.between(1, Math.min(3, products.length));
  const shuffled = products
    .map(({ productId }) => ({ productId, rank: prng.float() }))
    .sort((some, other) => some.rank - other.rank);
  const most = prng.chance(0.1) ? MOST_OF_ONE : 6;
  return {
    customerId: `CUSTOMER_${prng.between(1, 6)}`,
    orderId,
    key,
    items: shuffled.slice(0, lines).map(({ productId }) => ({ productId, quantity: prng.between(1, most) })),
  };
}
