import { expect, test } from "bun:test";
import { StockReserved, StockShort } from "@distributed-messaging/contracts";
import type { DataOf, Emission } from "@distributed-messaging/messaging";
import fc from "fast-check";
import {
  availableOf,
  type Decision,
  decisionsOn,
  type Input,
  type Moment,
  PRIORITY_PERIOD_MS,
  type Waiting,
} from "./domain.ts";
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
const customerId = fc.constantFrom("ANN", "BOB", "EVE");
/** Few ids, so that inputs repeat. */
const input: fc.Arbitrary<Input> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("place" as const), orderId, customerId, lines }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), orderId }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ productId: fc.constantFrom(...PRODUCTS), quantity })
      .map((what) => ({ kind: "restock" as const, restockId: JSON.stringify(what), ...what })),
  },
);
/** How much time passes before each input: often none, rarely so much that a customer's next window may be opened. */
const pause = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 1, arbitrary: fc.constant(PRIORITY_PERIOD_MS) },
);
/** An input, or nothing but time. */
const step = fc.record({ pause, input: fc.option(input, { freq: 10, nil: undefined }) });
/** Of any length up to the maximum: the default size of fast-check is ten. */
const history = fc.array(step, { maxLength: 60, size: "max" });
const policy = fc.record({
  priorityMs: fc.constantFrom(0, 10, 30, 1_000),
  priorityQuantity: fc.constantFrom(4, 8, 1_000),
  maxWaiting: fc.constantFrom(1, 3, 1_000),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

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
  // The first order with priority that is short of a product has published the exact shortage.
  for (const productId of PRODUCTS) {
    const first = reference.waiting.find(
      (order) => order.priorityUntil !== undefined && reference.isShort(order, productId),
    );
    if (first === undefined) continue;
    const asked = first.lines.find((line) => line.productId === productId)?.quantity ?? 0;
    const published = ledger.reservation(first.orderId);
    const shortages = published?.status === "waiting" ? published.shortages : [];
    expect(shortages).toContainEqual({ productId, missing: asked - reference.available(productId) });
  }
}

/** Applies the same inputs to a ledger and to the reference. */
function runBoth(
  make: typeof inMemory,
  stock: Readonly<Record<string, number>>,
  limits: Moment["policy"],
  steps: readonly Step[],
) {
  const fixture = make(stock);
  const reference = new Reference(stock);
  const published = new Map<string, Pick<DataOf<typeof StockShort>, "shortages" | "revision">>();
  let moment: Moment = { now: 0, policy: limits };
  try {
    for (const { pause: ms, input: next } of steps) {
      moment = { ...moment, now: moment.now + ms };
      const decision = carryOut(fixture, next, moment);
      expect(servedBy(decision)).toEqual(reference.apply(next, moment));
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
      expect(servedBy(carryOut(fixture, restock, moment))).toEqual(reference.apply(restock, moment));
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
      fc.property(onHand, policy, history, (stock, limits, steps) => runBoth(inMemory, stock, limits, steps)),
      { numRuns: RUNS },
    );
  },
  LIMIT_MS,
);

test(
  "the same on the tables of the service",
  () => {
    fc.assert(
      fc.property(onHand, policy, history, (stock, limits, steps) => runBoth(onTables, stock, limits, steps)),
      { numRuns: RUNS / 25 },
    );
  },
  LIMIT_MS,
);

/** The waiting orders, in order of arrival. */
function waitingIn({ ledger }: LedgerFixture): Waiting[] {
  return Array.from({ length: ORDERS }, (_, index) => ledger.reservation(`ORDER_${index}`))
    .flatMap((reservation) => (reservation?.status === "waiting" ? reservation : []))
    .sort((one, other) => one.arrival - other.arrival);
}

function isShort({ ledger }: LedgerFixture, { lines: asked }: Waiting, productId: string): boolean {
  const stock = ledger.stock(productId);
  const available = stock === undefined ? 0 : availableOf(stock);
  return asked.some((line) => line.productId === productId && line.quantity > available);
}

test(
  "stock is held back only for an order with priority, and priority is bounded for each order and each customer",
  () => {
    const property = fc.property(onHand, policy, history, (stock, limits, steps) => {
      const fixture = inMemory(stock);
      /** When each customer's orders last began to have priority. */
      const windows = new Map<string, number>();
      let moment: Moment = { now: 0, policy: limits };
      for (const { pause: ms, input: next } of steps) {
        moment = { ...moment, now: moment.now + ms };
        const queued = new Set(waitingIn(fixture).map(({ arrival }) => arrival));
        carryOut(fixture, next, moment);
        const waiting = waitingIn(fixture);
        for (const order of waiting) {
          const claiming = waiting.filter(
            ({ arrival, priorityUntil = 0 }) => arrival <= order.arrival && priorityUntil > moment.now,
          );
          // What could be served from the stock is, unless an order with priority claims that stock.
          const reasons = order.lines.filter(({ productId }) =>
            [...claiming, order].some((each) => isShort(fixture, each, productId)),
          );
          expect(reasons).not.toEqual([]);
          if (order.priorityUntil === undefined) continue;
          expect(order.priorityUntil).toBeGreaterThan(moment.now);
          expect(order.lines.reduce((sum, line) => sum + line.quantity, 0)).toBeLessThanOrEqual(
            limits.priorityQuantity,
          );
          if (queued.has(order.arrival)) continue;
          // One window a day, whatever the customer orders or cancels.
          const customer = order.customerId ?? "";
          const opened = order.priorityUntil - limits.priorityMs;
          const before = windows.get(customer) ?? Number.NEGATIVE_INFINITY;
          expect(opened === before || opened - before >= PRIORITY_PERIOD_MS).toBe(true);
          windows.set(customer, opened);
        }
        for (const orders of Map.groupBy(waiting, (order) => order.customerId).values()) {
          expect(orders.length).toBeLessThanOrEqual(limits.maxWaiting);
        }
      }
    });
    fc.assert(property, { numRuns: RUNS });
  },
  LIMIT_MS,
);

test(
  "an order with priority is never overtaken: nobody takes what it is short of, for as long as it has priority",
  () => {
    const property = fc.property(onHand, policy, history, (stock, limits, steps) => {
      const fixture = inMemory(stock);
      let moment: Moment = { now: 0, policy: limits };
      for (const { pause: ms, input: next } of steps) {
        moment = { ...moment, now: moment.now + ms };
        for (const decision of decisionsOn(next, fixture.ledger, moment)) {
          const before = waitingIn(fixture);
          const claims = before.filter(({ priorityUntil = 0 }) => priorityUntil > moment.now);
          const available = new Map(
            PRODUCTS.map((productId) => {
              const stored = fixture.ledger.stock(productId);
              const after = decision.stock.find((changed) => changed.productId === productId) ?? stored;
              // What is on hand now, without what the decision reserves and with what it releases.
              const reserved = decision.messages.flatMap((message) =>
                linesIn(message, StockReserved, productId),
              );
              const taken = reserved.reduce((sum, count) => sum + count, 0);
              return [productId, after === undefined ? 0 : availableOf(after) + taken] as const;
            }),
          );
          for (const message of decision.messages) {
            if (message.definition !== StockReserved) continue;
            const { orderId: served, lines: taken } = message.data as DataOf<typeof StockReserved>;
            const place =
              before.find((order) => order.orderId === served)?.arrival ?? Number.POSITIVE_INFINITY;
            const left = claims.filter(({ orderId: id, arrival }) => id !== served && arrival < place);
            for (const { productId, quantity: count } of taken) {
              const there = available.get(productId as (typeof PRODUCTS)[number]) ?? 0;
              const waits = (order: Waiting) => !isIn(decision, order.orderId);
              const short = left.filter((order) =>
                order.lines.some((line) => line.productId === productId && line.quantity > there),
              );
              expect(short.filter(waits)).toEqual([]);
              available.set(productId as (typeof PRODUCTS)[number], there - count);
            }
          }
          fixture.save(decision, moment.now);
        }
      }
    });
    fc.assert(property, { numRuns: RUNS });
  },
  LIMIT_MS,
);

/** Whether a decision ends the waiting of an order. */
function isIn({ reservations }: Decision, id: string): boolean {
  return reservations.some(({ orderId: each, status }) => each === id && status !== "waiting");
}

/** The quantities of a product in a message of a type. */
function linesIn({ definition, data }: Emission, type: typeof StockReserved, productId: string): number[] {
  if (definition !== type) return [];
  const { lines: taken } = data as DataOf<typeof StockReserved>;
  return taken.filter((line) => line.productId === productId).map((line) => line.quantity);
}

test(
  "the outcome does not depend on when the timer fires",
  () => {
    const times = fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 5 });
    const property = fc.property(onHand, policy, history, times, (stock, limits, steps, ticks) => {
      const outcomes = [false, true].map((punctual) => {
        const fixture = inMemory(stock);
        let moment: Moment = { now: 0, policy: limits };
        const served: string[] = [];
        for (const { pause: ms, input: next } of steps) {
          for (let passed = 0, index = 0; punctual && passed < Math.min(ms, 100); index += 1) {
            passed += ticks[index % ticks.length] ?? 1;
            const tick = { ...moment, now: moment.now + Math.min(passed, ms) };
            served.push(...servedBy(carryOut(fixture, undefined, tick)));
          }
          moment = { ...moment, now: moment.now + ms };
          served.push(...servedBy(carryOut(fixture, next, moment)));
        }
        return { served, stock: PRODUCTS.map((productId) => fixture.ledger.stock(productId)) };
      });
      expect(outcomes[0]).toEqual(outcomes[1] ?? { served: [], stock: [] });
    });
    fc.assert(property, { numRuns: RUNS / 2 });
  },
  LIMIT_MS,
);
