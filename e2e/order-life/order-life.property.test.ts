import { expect, test } from "bun:test";
import {
  CancelOrder,
  type Line,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderRejected,
  PlaceOrder,
  Restock,
} from "@distributed-messaging/contracts";
import { availableOf } from "@distributed-messaging/inventory/domain";
import { anyLines } from "@distributed-messaging/inventory/testing/fixture";
import { Reference } from "@distributed-messaging/inventory/testing/reference";
import type { DataOf } from "@distributed-messaging/messaging";
import type { Order } from "@distributed-messaging/order/domain";
import fc from "fast-check";
import { BACKORDER_TTL_MS, StoreModel } from "./store-model.ts";

const PRODUCTS = ["A", "B"] as const;
const ON_HAND = { A: 2, B: 2 };
const ORDERS = 8;
/** Some orders have no priority, some lose it before they expire, and some are one too many. */
const POLICY = { priorityMs: BACKORDER_TTL_MS * 0.4, priorityQuantity: 4, maxWaiting: 4 };
/** PROPERTY_RUNS in the environment sets another number. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 600);
/** On a machine under load. */
const TIMEOUT_MS = 60_000 + RUNS * 20;

const quantity = fc.integer({ min: 1, max: 3 });
const orderId = fc.nat(ORDERS - 1).map((index) => `ORDER_${index}`);

/** What customers and operators do. An order has the same lines whenever it is placed. */
type Action =
  | { readonly kind: "place" | "cancel"; readonly orderId: string }
  | ({ readonly kind: "restock" } & DataOf<typeof Restock>)
  | { readonly kind: "wait" };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("place" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), orderId }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ productId: fc.constantFrom(...PRODUCTS), quantity })
      .map((restock) => ({ kind: "restock" as const, restockId: JSON.stringify(restock), ...restock })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "wait" as const }) },
);

/**
 * Actions, each followed by some transitions, which the numbers choose. `size: "max"`, because by default fast-check
 * generates at most ten actions, after which few orders are cancelled or expire.
 */
const history = fc.array(fc.tuple(action, fc.array(fc.nat(1_000), { maxLength: 6 })), {
  maxLength: 40,
  size: "max",
});
const baskets = fc.array(anyLines(PRODUCTS, quantity), { minLength: ORDERS, maxLength: ORDERS });

class Run {
  readonly store = new StoreModel(ON_HAND, POLICY);
  /** Is given the inputs of the inventory in the same order. */
  readonly #reference = new Reference(ON_HAND);
  #applied = 0;
  readonly #baskets: readonly (readonly Line[])[];
  readonly #placed = new Set<string>();

  constructor(baskets: readonly (readonly Line[])[]) {
    this.#baskets = baskets;
  }

  do(action: Action): void {
    switch (action.kind) {
      case "place":
        this.#placed.add(action.orderId);
        this.store.send(PlaceOrder, this.#order(action.orderId));
        return;
      case "cancel":
        // The gateway accepts no cancellation of an order that it does not have.
        if (!this.#placed.has(action.orderId)) return;
        this.store.send(CancelOrder, { orderId: action.orderId, reason: "customer_request" });
        return;
      case "restock": {
        const { kind: _, ...data } = action;
        this.store.send(Restock, data);
        return;
      }
      case "wait":
        this.store.now += BACKORDER_TTL_MS / 2;
        return;
      default:
        action satisfies never;
    }
  }

  /** Performs one of the possible transitions. @returns whether there was any */
  step(choice: number): boolean {
    const transitions = this.store.transitions();
    const next = transitions[choice % transitions.length];
    if (next === undefined) return false;
    this.store.perform(next);
    this.#check();
    return true;
  }

  settle(): void {
    while (this.step(0));
  }

  /** The invariants that hold after every transition. */
  #check(): void {
    const { stocks, reservations } = this.store.ledger;
    for (const { productId, onHand, reserved } of stocks.values()) {
      let sum = 0;
      for (const reservation of reservations.values()) {
        if (reservation.status !== "reserved") continue;
        sum += reservation.lines.find((line) => line.productId === productId)?.quantity ?? 0;
      }
      expect(reserved).toBe(sum);
      expect(availableOf({ productId, onHand, reserved })).toBeGreaterThanOrEqual(0);
    }
    this.#checkAllocation();
  }

  /** Stock is allocated as by the reference, and no waiting order could be served. */
  #checkAllocation(): void {
    const { ledger, stockInputs } = this.store;
    for (const { input, moment } of stockInputs.slice(this.#applied)) this.#reference.apply(input, moment);
    this.#applied = stockInputs.length;
    const waiting = this.#reference.waiting;
    expect(ledger.waiting().map((order) => order.orderId)).toEqual(waiting.map((order) => order.orderId));
    const reserved = [...ledger.reservations.values()].filter(({ status }) => status === "reserved");
    expect(new Set(reserved.map((order) => order.orderId))).toEqual(new Set(this.#reference.reserved.keys()));
    for (const order of waiting) expect(this.#reference.mayTake(order)).toBe(false);
  }

  #order(id: string): DataOf<typeof PlaceOrder> {
    const lines = this.#baskets[Number(id.slice("ORDER_".length))] ?? [];
    const items = lines.map((line) => ({ ...line, unitPrice: { amount: 100, currency: "EUR" } }));
    const amount = lines.reduce((sum, line) => sum + 100 * line.quantity, 0);
    return {
      orderId: id,
      customerId: `CUSTOMER_${Number(id.slice("ORDER_".length)) % 2}`,
      items,
      total: { amount, currency: "EUR" },
    };
  }
}

/** The reservations that an order of each status may have once every message is handled. */
const atRest: Readonly<Record<Order["status"], readonly (string | undefined)[]>> = {
  pending: [],
  backordered: ["waiting"],
  confirmed: ["reserved"],
  rejected: ["rejected"],
  // The order may be cancelled before the order service has handled its rejection.
  cancelled: ["cancelled", "rejected"],
};

/** Each order is confirmed, rejected and cancelled at most once, and its revisions rise. */
function checkEmitted({ orders, emitted }: StoreModel): void {
  for (const id of orders.keys()) {
    const emittedOf = (definition: { readonly type: string }) =>
      emitted.filter(
        (message) =>
          message.definition.type === definition.type && message.definition.keyOf(message.data) === id,
      );
    for (const definition of [OrderConfirmed, OrderRejected, OrderCancelled]) {
      expect(emittedOf(definition).length).toBeLessThanOrEqual(1);
    }
    const revisions = emittedOf(OrderBackordered).map(
      ({ data }) => (data as DataOf<typeof OrderBackordered>).revision,
    );
    expect(revisions).toEqual([...new Set(revisions)].sort((one, other) => one - other));
  }
}

test(
  "in whatever order messages are handled: stock adds up and is allocated by the rules, services agree, orders end",
  () => {
    const property = fc.property(baskets, history, (chosen, actions) => {
      const run = new Run(chosen);
      for (const [next, choices] of actions) {
        run.do(next);
        for (const choice of choices) run.step(choice);
      }
      run.settle();
      const { store } = run;
      for (const [id, { status }] of store.orders) {
        expect(atRest[status]).toContain(store.ledger.reservation(id)?.status);
      }
      // With enough stock, every order that still waits is confirmed.
      for (const productId of PRODUCTS)
        run.do({ kind: "restock", restockId: `enough ${productId}`, productId, quantity: 1_000 });
      run.settle();
      for (const { status } of store.orders.values())
        expect(["confirmed", "rejected", "cancelled"]).toContain(status);
      checkEmitted(store);
    });
    fc.assert(property, { numRuns: RUNS });
  },
  TIMEOUT_MS,
);
