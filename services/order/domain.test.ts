import { describe, expect, test } from "bun:test";
import {
  MAX_LINES,
  MAX_QUANTITY,
  MAX_UNIT_PRICE,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  PlaceOrder,
} from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import { type Decision, decide, type Input, type Moment, type Order } from "./domain.ts";

const ids = { orderId: "ORDER_1", customerId: "CUSTOMER_1" };
const unitPrice = { amount: 250, currency: "EUR" };
const placed: DataOf<typeof PlaceOrder> = {
  ...ids,
  items: [{ productId: "P", quantity: 4, unitPrice }],
  total: { amount: 1000, currency: "EUR" },
};
/** The same order with other content, as another gateway may accept it. */
const more: DataOf<typeof PlaceOrder> = {
  ...ids,
  items: [{ productId: "P", quantity: 5, unitPrice }],
  total: { amount: 1250, currency: "EUR" },
};
const TTL_MS = 5_000;
const NOW = 1_000_000;
const moment: Moment = { now: NOW, backorderTtlMs: TTL_MS };
const shortages = [{ productId: "P", missing: 2 }];
const fewer = [{ productId: "P", missing: 1 }];

const pending: Order = { status: "pending", ...placed };
const backordered: Order = { status: "backordered", ...placed, shortages, revision: 1, expiresAt: NOW + 1 };
const overdue: Order = { ...backordered, expiresAt: NOW };
const confirmed: Order = { status: "confirmed", ...placed };
const rejected: Order = { status: "rejected", ...placed, reason: "unknown product P" };
const cancelled: Order = { status: "cancelled", ...placed, reason: "customer_request" };
const expired: Order = { status: "cancelled", ...placed, reason: "backorder_expired" };

const orders = { none: undefined, pending, backordered, overdue, confirmed, rejected, cancelled };

const lines = [{ productId: "P", quantity: 4 }];
const inputs = {
  place: { kind: "place", data: placed },
  "place otherwise": { kind: "place", data: { ...placed, customerId: "CUSTOMER_2" } },
  "place more": { kind: "place", data: more },
  cancel: { kind: "cancel", data: { orderId: "ORDER_1", reason: "customer_request" } },
  reserved: { kind: "reserved", data: { orderId: "ORDER_1", lines } },
  short: { kind: "short", data: { orderId: "ORDER_1", shortages, revision: 1 } },
  "short of less": { kind: "short", data: { orderId: "ORDER_1", shortages: fewer, revision: 2 } },
  "stock-rejected": { kind: "stock-rejected", data: { orderId: "ORDER_1", reason: "unknown product P" } },
  released: { kind: "released", data: { orderId: "ORDER_1", lines } },
  expire: { kind: "expire", data: { orderId: "ORDER_1" } },
} as const satisfies Record<string, Input>;

type Outcome = "never" | { readonly becomes: Order; readonly emits: readonly string[] };

const same = (order: Order): Outcome => ({ becomes: order, emits: [] });
const to = (becomes: Order, ...emitted: { readonly type: string }[]): Outcome => ({
  becomes,
  emits: emitted.map(({ type }) => type),
});
const waiting = (was: typeof shortages, revision: number, expiresAt: number): Order => ({
  status: "backordered",
  ...placed,
  shortages: was,
  revision,
  expiresAt,
});
const expires = to(expired, OrderCancelled);

/** The outcome of every input for every state. */
const table: Readonly<Record<keyof typeof orders, Readonly<Record<keyof typeof inputs, Outcome>>>> = {
  none: {
    place: to(pending, OrderPlaced),
    "place otherwise": to({ ...pending, customerId: "CUSTOMER_2" }, OrderPlaced),
    "place more": to({ status: "pending", ...more }, OrderPlaced),
    cancel: "never",
    reserved: "never",
    short: "never",
    "short of less": "never",
    "stock-rejected": "never",
    released: "never",
    expire: "never",
  },
  pending: {
    place: same(pending),
    "place otherwise": "never",
    "place more": same(pending),
    cancel: to(cancelled, OrderCancelled),
    reserved: to(confirmed, OrderConfirmed),
    short: to(waiting(shortages, 1, NOW + TTL_MS), OrderBackordered),
    "short of less": to(waiting(fewer, 2, NOW + TTL_MS), OrderBackordered),
    "stock-rejected": to(rejected, OrderRejected),
    released: "never",
    expire: "never",
  },
  backordered: {
    place: same(backordered),
    "place otherwise": "never",
    "place more": same(backordered),
    cancel: to(cancelled, OrderCancelled),
    reserved: to(confirmed, OrderConfirmed),
    short: same(backordered),
    "short of less": to(waiting(fewer, 2, NOW + 1), OrderBackordered),
    "stock-rejected": "never",
    released: "never",
    expire: "never",
  },
  // Every input is too late: only the clock decides about the deadline.
  overdue: {
    place: expires,
    "place otherwise": "never",
    "place more": expires,
    cancel: expires,
    reserved: expires,
    short: expires,
    "short of less": expires,
    "stock-rejected": expires,
    released: expires,
    expire: expires,
  },
  confirmed: {
    place: same(confirmed),
    "place otherwise": "never",
    "place more": same(confirmed),
    cancel: to(cancelled, OrderCancelled),
    reserved: "never",
    short: "never",
    "short of less": "never",
    "stock-rejected": "never",
    released: "never",
    expire: "never",
  },
  rejected: {
    place: same(rejected),
    "place otherwise": "never",
    "place more": same(rejected),
    // The command and the rejection crossed.
    cancel: same(rejected),
    reserved: "never",
    short: "never",
    "short of less": "never",
    "stock-rejected": "never",
    released: "never",
    expire: "never",
  },
  // What the inventory emitted before it received the cancellation, and its answer to it.
  cancelled: {
    place: same(cancelled),
    "place otherwise": "never",
    "place more": same(cancelled),
    cancel: same(cancelled),
    reserved: same(cancelled),
    short: same(cancelled),
    "short of less": same(cancelled),
    "stock-rejected": same(cancelled),
    released: same(cancelled),
    expire: same(cancelled),
  },
};

describe("every order × every input", () => {
  for (const [state, order] of Object.entries(orders) as [keyof typeof orders, Order | undefined][]) {
    test.each(Object.entries(table[state]))(`given ${state}, when %s`, (name, outcome) => {
      const input = inputs[name as keyof typeof inputs];
      if (outcome === "never") {
        expect(() => decide(order, input, moment)).toThrow(/ORDER_1/);
        return;
      }
      const { state: becomes, messages } = decide(order, input, moment);
      expect(becomes).toEqual(outcome.becomes);
      expect(messages.map(({ definition }) => definition.type)).toEqual([...outcome.emits]);
      // Every message conforms to its contract.
      for (const { definition, data } of messages) expect(definition.check.Check(data)).toBe(true);
    });
  }
});

/** The states of an order and the messages about it. */
function history(inputsAt: readonly (readonly [number, Input])[]): { states: string[]; emitted: string[] } {
  let order: Order | undefined;
  const states: string[] = [];
  const emitted: string[] = [];
  for (const [now, input] of inputsAt) {
    const decision: Decision = decide(order, input, { now, backorderTtlMs: TTL_MS });
    order = decision.state;
    states.push(order.status);
    emitted.push(...decision.messages.map(({ definition }) => definition.type));
  }
  return { states, emitted };
}

describe("the deadline of a backordered order", () => {
  const place = [0, inputs.place] as const;

  test("given it is backordered since 100, when stock comes one millisecond before 100 + TTL, then it is confirmed", () => {
    const { states } = history([place, [100, inputs.short], [100 + TTL_MS - 1, inputs.reserved]]);
    expect(states).toEqual(["pending", "backordered", "confirmed"]);
  });

  test("given it is backordered since 100, when stock comes at 100 + TTL, then it is cancelled, timer or no timer", () => {
    const { states, emitted } = history([place, [100, inputs.short], [100 + TTL_MS, inputs.reserved]]);
    expect(states).toEqual(["pending", "backordered", "cancelled"]);
    expect(emitted.at(-1)).toBe(OrderCancelled.type);
  });

  test("given its shortages have changed, then its deadline has not", () => {
    const late = 100 + TTL_MS - 1;
    const { states } = history([
      place,
      [100, inputs.short],
      [late, inputs["short of less"]],
      [late + 1, inputs.reserved],
    ]);
    expect(states).toEqual(["pending", "backordered", "backordered", "cancelled"]);
  });

  test("given its deadline cancelled it, then messages that were on their way change nothing", () => {
    const { states, emitted } = history([
      place,
      [100, inputs.short],
      [100 + TTL_MS, inputs.expire],
      [100 + TTL_MS, inputs.reserved],
      [100 + TTL_MS, inputs.cancel],
      [100 + TTL_MS, inputs.released],
    ]);
    expect(states.slice(2)).toEqual(Array(4).fill("cancelled"));
    expect(emitted.filter((type) => type === OrderCancelled.type)).toHaveLength(1);
  });
});

describe("the rules that a schema cannot express", () => {
  const line = { productId: "P", quantity: 4, unitPrice };
  const refusals = {
    "a total that is not the sum of its lines": { total: { amount: 999, currency: "EUR" } },
    "a product twice": { items: [line, line], total: { amount: 2000, currency: "EUR" } },
    "two currencies": {
      items: [line, { ...line, productId: "Q", unitPrice: { amount: 0, currency: "USD" } }],
    },
    "a total in another currency": { total: { amount: 1000, currency: "USD" } },
  };
  test.each(Object.entries(refusals))("%s is refused", (_, change) => {
    const input: Input = { kind: "place", data: { ...placed, ...change } };
    expect(() => decide(undefined, input, moment)).toThrow(/ORDER_1/);
  });

  test("the largest possible order is exact, and one cent more or less is refused", () => {
    const items = Array.from({ length: MAX_LINES }, (_, index) => ({
      productId: `P${index}`,
      quantity: MAX_QUANTITY,
      unitPrice: { amount: MAX_UNIT_PRICE, currency: "EUR" },
    }));
    const amount = 1_000_000_000_000_000;
    const of = (sum: number): Input => ({
      kind: "place",
      data: { ...ids, items, total: { amount: sum, currency: "EUR" } },
    });
    expect(PlaceOrder.check.Check(of(amount).data)).toBe(true);
    expect(decide(undefined, of(amount), moment).messages).toHaveLength(1);
    for (const wrong of [amount - 1, amount + 1]) {
      expect(() => decide(undefined, of(wrong), moment)).toThrow(`the sum of its lines is ${amount}`);
    }
  });
});
