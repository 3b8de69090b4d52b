import { expect, test } from "bun:test";
import { StockShort } from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import fc from "fast-check";
import { availableOf, type Input } from "./domain.ts";
import { anyLines, carryOut, inMemory, type LedgerFixture, onTables, servedBy } from "./testing/fixture.ts";
import { Reference } from "./testing/reference.ts";

const PRODUCTS = ["A", "B", "C"] as const;
const ORDERS = 12;
/** PROPERTY_RUNS sets another number. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 1_500);
/** Long enough for a busy machine. */
const LIMIT_MS = 60_000 + RUNS * 20;

const quantity = fc.integer({ min: 1, max: 4 });
const onHand = fc.record({ A: fc.nat(6), B: fc.nat(6), C: fc.nat(6) });
const orderId = fc.nat(ORDERS - 1).map((index) => `ORDER_${index}`);
const lines = anyLines(PRODUCTS, quantity);
/** Few ids, so that inputs repeat. */
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
/** Of any length up to the maximum: the default size of fast-check is ten. */
const history = fc.array(input, { maxLength: 60, size: "max" });

/** Holds after every decision. */
function check({ ledger }: LedgerFixture, reference: Reference): void {
  for (const productId of PRODUCTS) {
    const stock = ledger.stock(productId);
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
    const waiting = ledger.reservation(order.orderId);
    if (waiting?.status !== "waiting") throw new Error(`${order.orderId} does not wait`);
    // No waiting order could be served from available stock.
    expect(reference.mayTake(order)).toBe(false);
    expect(waiting.shortages.length).toBeGreaterThan(0);
  }
  for (const reservedId of reference.reserved.keys()) {
    expect(ledger.reservation(reservedId)?.status).toBe("reserved");
  }
  // The first order that is short of a product has published the exact shortage.
  for (const productId of PRODUCTS) {
    const available = reference.available(productId);
    const first = reference.waiting.find(({ lines: wanted }) =>
      wanted.some((line) => line.productId === productId && line.quantity > available),
    );
    if (first === undefined) continue;
    const asked = first.lines.find((line) => line.productId === productId)?.quantity ?? 0;
    const published = ledger.reservation(first.orderId);
    const shortages = published?.status === "waiting" ? published.shortages : [];
    expect(shortages).toContainEqual({ productId, missing: asked - available });
  }
}

/** Applies the same inputs to a ledger and to the reference. */
function runBoth(make: typeof inMemory, stock: Readonly<Record<string, number>>, inputs: readonly Input[]) {
  const fixture = make(stock);
  const reference = new Reference(stock);
  const published = new Map<string, Pick<DataOf<typeof StockShort>, "shortages" | "revision">>();
  try {
    for (const step of inputs) {
      const decision = carryOut(fixture, step);
      expect(servedBy(decision)).toEqual(reference.apply(step));
      check(fixture, reference);
      for (const { definition, data } of decision.messages) {
        if (definition !== StockShort) continue;
        const { orderId, shortages, revision } = data as DataOf<typeof StockShort>;
        const before = published.get(orderId);
        expect(revision).toBe((before?.revision ?? 0) + 1);
        expect(shortages).not.toEqual(before?.shortages ?? []);
        published.set(orderId, { shortages, revision });
      }
    }
    // Once there is enough of everything, no order waits.
    for (const productId of PRODUCTS) {
      const restock: Input = { kind: "restock", restockId: `last ${productId}`, productId, quantity: 1000 };
      expect(servedBy(carryOut(fixture, restock))).toEqual(reference.apply(restock));
    }
    expect(reference.waiting).toEqual([]);
    for (let index = 0; index < ORDERS; index += 1) {
      expect(fixture.ledger.reservation(`ORDER_${index}`)?.status).not.toBe("waiting");
    }
  } finally {
    fixture.close();
  }
}

test(
  "orders are served as the reference serves them, whatever happens",
  () => {
    fc.assert(
      fc.property(onHand, history, (stock, inputs) => runBoth(inMemory, stock, inputs)),
      { numRuns: RUNS },
    );
  },
  LIMIT_MS,
);

test(
  "the same on the tables of the service",
  () => {
    fc.assert(
      fc.property(onHand, history, (stock, inputs) => runBoth(onTables, stock, inputs)),
      { numRuns: RUNS / 25 },
    );
  },
  LIMIT_MS,
);
