import { MAX_QUANTITY } from "@distributed-messaging/contracts";
import {
  type AcceptedOrder,
  CancelOrderOperation,
  type Client,
  type Operation,
  PlaceOrderOperation,
  type PlaceOrderRequest,
  ReadOrderOperation,
  RestockOperation,
} from "./operations.ts";
import type { Prng } from "./prng.ts";
import type { StockedProduct } from "./services.ts";

/** Mean time between two bursts of orders. */
const PAUSE_MS = 1_500;
/** Mean time until an order is cancelled or read. */
const FOLLOW_UP_MS = 3_000;
const MAX_LINE_QUANTITY = 200;

/** The products of a run, with much stock or with too little for all orders. */
export function drawProducts(prng: Prng, orders: number): StockedProduct[] {
  const count = prng.between(3, 8);
  return Array.from({ length: count }, (_, index) => ({
    productId: `PRODUCT_${index + 1}`,
    name: `Product ${index + 1}`,
    price: { amount: prng.between(1, 100_000), currency: "EUR" },
    onHand: prng.chance(0.5) ? prng.between(0, orders) : orders * prng.between(5, 300),
  }));
}

/** All client operations of a run, scheduled before it begins. */
export class Workload {
  readonly accepted: AcceptedOrder[] = [];
  /** One for each order. */
  readonly placing: PlaceOrderOperation[] = [];
  /** When the last order is placed. */
  readonly durationMs: number;
  readonly #operations: Operation[] = [];
  readonly #products: readonly StockedProduct[];
  readonly #client: Client;
  #restocks = 0;

  constructor(orders: number, products: readonly StockedProduct[], client: Client) {
    this.#products = products;
    this.#client = client;
    const { prng } = client;
    // Runs differ in how often customers cancel and how often products are restocked.
    const [cancels, restocks] = [prng.float() * 0.5, prng.float() * 0.6];
    let atMs = 0;
    for (let index = 0; index < orders; index += 1) {
      if (prng.chance(0.5)) atMs += prng.exponential(PAUSE_MS);
      this.#scheduleOrder(index, atMs, cancels);
      if (prng.chance(restocks)) this.#scheduleRestock(atMs, prng.between(1, 30));
    }
    this.durationMs = atMs;
  }

  /** How many operations are not finished. */
  get unfinished(): number {
    return this.#operations.filter(({ finished }) => !finished).length;
  }

  /** Restocks every product by more than all orders together can wait for. */
  restockAll(): void {
    for (const { productId } of this.#products) {
      for (let left = this.placing.length * MAX_LINE_QUANTITY; left > 0; left -= MAX_QUANTITY) {
        this.#scheduleRestock(0, Math.min(left, MAX_QUANTITY), productId);
      }
    }
  }

  #scheduleOrder(index: number, atMs: number, cancels: number): void {
    const prng = this.#client.prng.fork(`order ${index}`);
    const client = { ...this.#client, prng };
    const followUp = (operation: Operation) => this.#schedule(prng.exponential(FOLLOW_UP_MS), operation);
    const placing = new PlaceOrderOperation(drawOrder(index, this.#products, prng), client, (order) => {
      this.accepted.push(order);
      if (prng.chance(cancels)) followUp(new CancelOrderOperation(order, client));
      if (prng.chance(0.3)) followUp(new ReadOrderOperation(order, client));
    });
    this.placing.push(placing);
    this.#schedule(atMs, placing);
  }

  #scheduleRestock(atMs: number, quantity: number, product?: string): void {
    const { prng } = this.#client;
    const productId = product ?? prng.pick(this.#products).productId;
    this.#restocks += 1;
    const key = `restock-${this.#restocks}`;
    const client = { ...this.#client, prng: prng.fork(key) };
    this.#schedule(atMs, new RestockOperation({ productId, quantity, key }, client));
  }

  #schedule(delayMs: number, operation: Operation): void {
    this.#operations.push(operation);
    operation.after(delayMs, () => operation.start());
  }
}

function drawOrder(index: number, products: readonly StockedProduct[], prng: Prng): PlaceOrderRequest {
  const name = prng.chance(0.5) ? `ORDER_${index}` : undefined;
  const key = prng.chance(name === undefined ? 0.8 : 0.5) ? `key-${index}` : undefined;
  const lines = prng.chance(0.1) ? products.length : prng.between(1, Math.min(3, products.length));
  const shuffled = products
    .map(({ productId }) => ({ productId, rank: prng.float() }))
    .sort((some, other) => some.rank - other.rank);
  const most = prng.chance(0.1) ? MAX_LINE_QUANTITY : 6;
  return {
    operation: "place-order",
    customerId: `CUSTOMER_${prng.between(1, 6)}`,
    name,
    key,
    items: shuffled.slice(0, lines).map(({ productId }) => ({ productId, quantity: prng.between(1, most) })),
  };
}
