import { describe, expect, test } from "bun:test";
import {
  CancelOrder,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  PlaceOrder,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { type PlacedOrder, type Status, type Step, viewOf } from "./domain.ts";
import { inCausalOrder } from "./history.ts";

const order: PlacedOrder = {
  orderId: "ORDER_1",
  customerId: "CUSTOMER_1",
  items: [{ productId: "P", quantity: 2, unitPrice: { amount: 100, currency: "EUR" } }],
  total: { amount: 200, currency: "EUR" },
  placedAt: 1_000,
};

const SERVICES = { g: "api-gateway", o: "order", i: "inventory" } as const;
/** Whose clock is how wrong, in milliseconds: the inventory's is an hour behind, the order service's was set back. */
type Skew = (service: string, index: number) => number;
const skews: Readonly<Record<string, Skew>> = {
  "clocks agree": () => 0,
  "the inventory's clock is an hour behind": (service) => (service === "inventory" ? -3_600_000 : 0),
  "the order service's clock is set back on the way": (service, index) =>
    service === "order" && index > 4 ? -10_000 : 0,
};

type What = Step extends infer Each
  ? Each extends Step
    ? Omit<Each, "id" | "cause" | "at" | "service">
    : never
  : never;
type Told = readonly [by: keyof typeof SERVICES, cause: number | string, what: What];

const short = (revision: number): What => ({ type: StockShort.type, revision });
const waits = (revision: number): What => ({
  type: OrderBackordered.type,
  revision,
  shortages: [{ productId: "P", missing: 3 - revision }],
});

/** Orders' lives, as they happened: who said what, and because of which earlier step, or of something else. */
const stories: Readonly<Record<string, readonly Told[]>> = {
  "waits, is told again, is confirmed, and cancelled after all": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["i", 1, short(1)],
    ["o", 2, waits(1)],
    ["i", "restock", short(2)],
    ["o", 4, waits(2)],
    ["i", "restock", { type: StockReserved.type }],
    ["o", 6, { type: OrderConfirmed.type }],
    ["g", "request", { type: CancelOrder.type }],
    ["o", 8, { type: OrderCancelled.type, reason: "customer_request" }],
    ["i", 9, { type: StockReleased.type }],
  ],
  "is cancelled while its stock is being reserved": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["g", "request", { type: CancelOrder.type }],
    ["o", 2, { type: OrderCancelled.type, reason: "customer_request" }],
    ["i", 1, { type: StockReserved.type }],
    ["i", 3, { type: StockReleased.type }],
  ],
  "waits for too long": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["i", 1, short(1)],
    ["o", 2, waits(1)],
    ["o", "timer", { type: OrderCancelled.type, reason: "backorder_expired" }],
  ],
  "is rejected": [
    ["g", "request", { type: PlaceOrder.type }],
    ["o", 0, { type: OrderPlaced.type }],
    ["i", 1, { type: StockRejected.type }],
    ["o", 2, { type: OrderRejected.type, reason: "unknown product P" }],
  ],
};

function stepsOf(story: readonly Told[], skew: Skew): Step[] {
  return story
    .map(([by, cause, what], index) => {
      const at = 1_000 + 10 * index + skew(SERVICES[by], index);
      // As a UUIDv7 has it: the time in front, and nothing behind that says more.
      const id = `${String(at + 10_000_000).padStart(12, "0")}-${(index * 7919) % 100}-${index}`;
      return { id, cause: String(cause), at, service: SERVICES[by], ...what };
    })
    .map((step, _, all) => ({ ...step, cause: all[Number(step.cause)]?.id ?? step.cause }));
}

/** Every way in which topics that keep their own order may come in together. */
function* merges<T>(topics: readonly (readonly T[])[]): Iterable<T[]> {
  const open = topics.filter(({ length }) => length > 0);
  if (open.length === 0) yield [];
  for (const topic of open) {
    const [first, ...rest] = topic;
    if (first === undefined) continue;
    for (const others of merges(topics.map((other) => (other === topic ? rest : other))))
      yield [first, ...others];
  }
}

const PROGRESS: readonly Status[] = ["accepted", "pending", "backordered", "confirmed", "cancelled"];
const progressOf = (status: Status) => PROGRESS.indexOf(status === "rejected" ? "confirmed" : status);

describe.each(Object.entries(stories))("an order that %s", (_, story) => {
  describe.each(Object.entries(skews))("where %s", (_name, skew) => {
    const steps = stepsOf(story, skew);
    const topics = Object.values(SERVICES).map((service) => steps.filter((step) => step.service === service));
    const all = [...merges(topics)];

    test("looks the same in the end, whatever came first", () => {
      const expected = viewOf(order, steps);
      for (const arrived of all) expect(viewOf(order, arrived)).toEqual(expected);
    });

    test("never goes back to an earlier status, with every step that comes, and those that come twice", () => {
      for (const arrived of all) {
        let progress = 0;
        for (let count = 0; count <= arrived.length; count += 1) {
          const known = arrived.slice(0, count);
          const { status } = viewOf(order, known);
          expect(progressOf(status)).toBeGreaterThanOrEqual(progress);
          progress = progressOf(status);
          expect(viewOf(order, [...known, ...known]).status).toBe(status);
        }
      }
    });

    test("has one history, in which nothing comes before what caused it", () => {
      const expected = inCausalOrder(steps);
      for (const arrived of all) expect(inCausalOrder(arrived)).toEqual(expected);
      for (const arrived of all) {
        const known = inCausalOrder(arrived.slice(0, arrived.length / 2));
        for (const [index, { id }] of known.entries()) {
          expect(known.slice(0, index).some(({ cause }) => cause === id)).toBe(false);
        }
      }
    });
  });
});

test("where clocks agree, the history is the order in which it happened", () => {
  for (const story of Object.values(stories)) {
    const steps = stepsOf(story, () => 0);
    expect(inCausalOrder(steps.toReversed())).toEqual(steps);
  }
});

test("causes that go in a circle hide nothing", () => {
  const [first, second] = stepsOf(stories["is rejected"]?.slice(0, 2) ?? [], () => 0);
  if (first === undefined || second === undefined) throw new Error("no such story");
  const circle = [{ ...first, cause: second.id }, second];
  expect(inCausalOrder(circle)).toHaveLength(2);
});

test("an order keeps what it was placed with, and tells the latest of what it lacks", () => {
  const steps = stepsOf(
    stories["waits, is told again, is confirmed, and cancelled after all"] ?? [],
    () => 0,
  );
  const waiting = viewOf(order, steps.slice(0, 6).toReversed());
  expect(waiting).toEqual({
    ...order,
    status: "backordered",
    shortages: [{ productId: "P", missing: 1 }],
    updatedAt: 1_050,
  });
  expect(viewOf(order, steps)).toEqual({
    ...order,
    status: "cancelled",
    reason: "customer_request",
    updatedAt: 1_100,
  });
});
