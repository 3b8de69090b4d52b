import { type AcceptedOrder, Errand, type Wish } from "./customers.ts";
import type { Prng } from "./prng.ts";
import type { Process, Surroundings } from "./process.ts";
import type { GatewayParts, StockedProduct } from "./services.ts";

/** Between two bursts of orders, on average. */
const PAUSE_MS = 1_500;

/** What the store sells in this run: some of it plenty, some of it too little for everybody. */
export function drawProducts(prng: Prng, orders: number): StockedProduct[] {
  const count = prng.between(3, 8);
  return Array.from({ length: count }, (_, index) => ({
    productId: `PRODUCT_${index + 1}`,
    name: `Product ${index + 1}`,
    price: { amount: prng.between(1, 100_000), currency: "EUR" },
    onHand: prng.chance(0.4) ? prng.between(0, orders) : orders * prng.between(5, 300),
  }));
}

/** The customers and all that they do, planned from the seed before anything happens. */
export class Workload {
  readonly accepted: AcceptedOrder[] = [];
  readonly errands: Errand[] = [];
  /** When the last of it begins. */
  readonly lastsMs: number;

  constructor(
    orders: number,
    products: readonly StockedProduct[],
    gateway: Process<GatewayParts>,
    surroundings: Surroundings,
    prng: Prng,
  ) {
    let atMs = 0;
    for (let index = 0; index < orders; index += 1) {
      if (prng.chance(0.5)) atMs += prng.exponential(PAUSE_MS);
      const wish = drawWish(index, products, prng);
      const errand = new Errand(wish, gateway, surroundings, prng.fork(`errand ${index}`), this.accepted);
      this.errands.push(errand);
      surroundings.scheduler.after(atMs, () => errand.begin());
    }
    this.lastsMs = atMs;
  }

  /** What has not come to its end. */
  get open(): number {
    return this.errands.filter(({ done }) => !done).length;
  }
}

function drawWish(index: number, products: readonly StockedProduct[], prng: Prng): Wish {
  const orderId = prng.chance(0.5) ? `ORDER_${index}` : undefined;
  const key = prng.chance(orderId === undefined ? 0.8 : 0.5) ? `key-${index}` : undefined;
  const lines = prng.chance(0.1) ? products.length : prng.between(1, Math.min(3, products.length));
  const shuffled = products
    .map(({ productId }) => ({ productId, rank: prng.float() }))
    .sort((some, other) => some.rank - other.rank);
  const most = prng.chance(0.1) ? 200 : 6;
  return {
    customerId: `CUSTOMER_${prng.between(1, 6)}`,
    orderId,
    key,
    items: shuffled.slice(0, lines).map(({ productId }) => ({ productId, quantity: prng.between(1, most) })),
  };
}
