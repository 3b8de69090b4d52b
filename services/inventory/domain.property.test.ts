import { expect, test } from "bun:test";
import { StockShort } from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import fc from "fast-check";
import { availableOf, type Input } from "./domain.ts";
import { anyLines } from "./testing/any-lines.ts";
import { Reference } from "./testing/reference.ts";
import { carryOut, memoryShop, type Shop, servedBy, sqlShop } from "./testing/shop.ts";

const PRODUCTS = ["A", "B", "C"] as const;
const ORDERS = 12;
/** PROPERTY_RUNS in the environment asks for more, or fewer. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 1_500);
/** On a machine that is busy with something else. */
const LIMIT_MS = 60_000 + RUNS * 20;

const quantity = fc.integer({ min: 1, max: 4 });
const onHand = fc.record({ A: fc.nat(6), B: fc.nat(6), C: fc.nat(6) });
const orderId = fc.nat(ORDERS - 1).map((index) => `ORDER_${index}`);
const lines = anyLines(PRODUCTS, quantity);
/** Few ids, so that everything comes twice now and then. */
const input: fc.Arbitrary<Input> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("place" as const), orderId, lines }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), orderId }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ productId: fc.constantFrom(...PRODUCTS), quantity })
      .map((what) => ({ kind: "restock" as const, restockId: JSON.stringify(what), ...what })),
  },
);
/** Of any length up to the longest: by itself, fast-check would stop at ten. */
const history = fc.array(input, { maxLength: 60, size: "max" });

/** What must hold after every decision. */
function check(shop: Shop, reference: Reference): void {
  for (const productId of PRODUCTS) {
    const stock = shop.books.stock(productId);
    if (stock === undefined) throw new Error(`${productId} is gone`);
    expect(stock.reserved).toBeGreaterThanOrEqual(0);
    expect(availableOf(stock)).toBeGreaterThanOrEqual(0);
    expect({ productId, onHand: stock.onHand, available: availableOf(stock) }).toEqual({
      productId,
      onHand: reference.onHand.get(productId) ?? 0,
      available: reference.available(productId),
    });
  }
  for (const order of reference.waiting) {
    const waiting = shop.books.reservation(order.orderId);
    if (waiting?.status !== "waiting") throw new Error(`${order.orderId} does not wait`);
    // No waiting order could be served from what is available.
    expect(reference.mayTake(order)).toBe(false);
    expect(waiting.shortages.length).toBeGreaterThan(0);
  }
  for (const reservedId of reference.reserved.keys()) {
    expect(shop.books.reservation(reservedId)?.status).toBe("reserved");
  }
  // Whoever is first in line for a product knows how much of it is still missing.
  for (const productId of PRODUCTS) {
    const available = reference.available(productId);
    const first = reference.waiting.find(({ lines: wanted }) =>
      wanted.some((line) => line.productId === productId && line.quantity > available),
    );
    if (first === undefined) continue;
    const asked = first.lines.find((line) => line.productId === productId)?.quantity ?? 0;
    const told = shop.books.reservation(first.orderId);
    const shortages = told?.status === "waiting" ? told.shortages : [];
    expect(shortages).toContainEqual({ productId, missing: asked - available });
  }
}

/** Does the same in the shop and by the book. */
function runBoth(make: typeof memoryShop, stock: Readonly<Record<string, number>>, inputs: readonly Input[]) {
  const shop = make(stock);
  const reference = new Reference(stock);
  try {
    for (const step of inputs) {
      const decision = carryOut(shop, step);
      expect(servedBy(decision)).toEqual(reference.apply(step));
      check(shop, reference);
      const told = decision.messages.filter(({ definition }) => definition === StockShort);
      const ids = told.map(({ data }) => (data as DataOf<typeof StockShort>).orderId);
      expect(new Set(ids).size, "nobody is told twice").toBe(ids.length);
    }
    // Once there is enough of everything, nobody waits any more.
    for (const productId of PRODUCTS) {
      const restock: Input = { kind: "restock", restockId: `last ${productId}`, productId, quantity: 1000 };
      expect(servedBy(carryOut(shop, restock))).toEqual(reference.apply(restock));
    }
    expect(reference.waiting).toEqual([]);
    for (let index = 0; index < ORDERS; index += 1) {
      expect(shop.books.reservation(`ORDER_${index}`)?.status).not.toBe("waiting");
    }
  } finally {
    shop.close();
  }
}

test(
  "whatever happens, orders are served as by going through all that wait, in order of arrival",
  () => {
    fc.assert(
      fc.property(onHand, history, (stock, inputs) => runBoth(memoryShop, stock, inputs)),
      { numRuns: RUNS },
    );
  },
  LIMIT_MS,
);

test(
  "the same on the tables of the service",
  () => {
    fc.assert(
      fc.property(onHand, history, (stock, inputs) => runBoth(sqlShop, stock, inputs)),
      { numRuns: RUNS / 25 },
    );
  },
  LIMIT_MS,
);
