import { expect, test } from "bun:test";
import type { Line, PlaceOrder } from "@distributed-messaging/contracts";
import {
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderRejected,
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
/** PROPERTY_RUNS in the environment asks for more, or fewer. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 600);
/** On a machine that is busy with something else. */
const LIMIT_MS = 60_000 + RUNS * 20;

const quantity = fc.integer({ min: 1, max: 3 });
const orderId = fc.nat(ORDERS - 1).map((index) => `ORDER_${index}`);

/** What customers and the shop do. The same order is always the same order, whenever it is placed. */
type Deed =
  | { readonly kind: "place" | "cancel"; readonly orderId: string }
  | {
      readonly kind: "restock";
      readonly productId: string;
      readonly quantity: number;
      readonly restockId: string;
    }
  | { readonly kind: "wait" };

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("place" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), orderId }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ productId: fc.constantFrom(...PRODUCTS), quantity })
      .map((what) => ({ kind: "restock" as const, restockId: JSON.stringify(what), ...what })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "wait" as const }) },
);

/**
 * A deed, and then some messages that move on, each the one that the number picks. Of any length up to the longest:
 * by itself, fast-check would stop at ten, before most orders have had time to be cancelled or to expire.
 */
const life = fc.array(fc.tuple(deed, fc.array(fc.nat(1_000), { maxLength: 6 })), {
  maxLength: 40,
  size: "max",
});
const baskets = fc.array(anyLines(PRODUCTS, quantity), { minLength: ORDERS, maxLength: ORDERS });

class Run {
  readonly store = new StoreModel(ON_HAND);
  /** Given the same as the inventory, in the same order. */
  readonly #reference = new Reference(ON_HAND);
  #applied = 0;
  readonly #baskets: readonly (readonly Line[])[];
  readonly #placed = new Set<string>();

  constructor(baskets: readonly (readonly Line[])[]) {
    this.#baskets = baskets;
  }

  do(deed: Deed): void {
    switch (deed.kind) {
      case "place":
        this.#placed.add(deed.orderId);
        this.store.place(this.#order(deed.orderId));
        return;
      case "cancel":
        // The gateway lets nobody cancel what it has not accepted.
        if (!this.#placed.has(deed.orderId)) return;
        this.store.cancel({ orderId: deed.orderId, reason: "customer_request" });
        return;
      case "restock":
        this.store.restock(deed);
        return;
      case "wait":
        this.store.now += BACKORDER_TTL_MS / 2;
        return;
      default:
        deed satisfies never;
    }
  }

  /** Lets one message move on, or one deadline come. @returns whether there was any */
  move(pick: number): boolean {
    const moves = this.store.moves();
    const next = moves[pick % moves.length];
    if (next === undefined) return false;
    this.store.make(next, (count) => pick % count);
    this.check();
    return true;
  }

  settle(): void {
    while (this.move(0));
  }

  /** What holds at every moment. */
  check(): void {
    const { stocks, reservations } = this.store.ledger;
    for (const { productId, onHand, reserved } of stocks.values()) {
      let held = 0;
      for (const reservation of reservations.values()) {
        if (reservation.status !== "reserved") continue;
        held += reservation.lines.find((line) => line.productId === productId)?.quantity ?? 0;
      }
      expect(reserved).toBe(held);
      expect(availableOf({ productId, onHand, reserved })).toBeGreaterThanOrEqual(0);
    }
    this.#checkFairness();
  }

  /** First come, first served, as the rules are written down; and nobody waits who could be served. */
  #checkFairness(): void {
    const { ledger, heard } = this.store;
    const news = heard.slice(this.#applied);
    this.#applied = heard.length;
    for (const input of news) this.#reference.apply(input);
    const waiting = this.#reference.waiting;
    expect(ledger.waiting().map((order) => order.orderId)).toEqual(waiting.map((order) => order.orderId));
    const held = [...ledger.reservations.values()].filter(({ status }) => status === "reserved");
    expect(new Set(held.map((order) => order.orderId))).toEqual(new Set(this.#reference.reserved.keys()));
    for (const order of waiting) expect(this.#reference.mayTake(order)).toBe(false);
  }

  #order(id: string): DataOf<typeof PlaceOrder> {
    const lines = this.#baskets[Number(id.slice("ORDER_".length))] ?? [];
    const items = lines.map((line) => ({ ...line, unitPrice: { amount: 100, currency: "EUR" } }));
    const amount = lines.reduce((sum, line) => sum + 100 * line.quantity, 0);
    return { orderId: id, customerId: "CUSTOMER", items, total: { amount, currency: "EUR" } };
  }
}

/** What the inventory has for an order of each status, once nothing is on its way. */
const atRest: Readonly<Record<Order["status"], readonly (string | undefined)[]>> = {
  pending: [],
  backordered: ["waiting"],
  confirmed: ["reserved"],
  rejected: ["rejected"],
  // One that the inventory rejected may have been cancelled before that was heard of.
  cancelled: ["cancelled", "rejected"],
};

/** How often each thing may be said of one order. */
function expectSaidOnce(store: StoreModel): void {
  for (const id of store.orders.keys()) {
    const said = (definition: { readonly type: string }) =>
      store.log.filter(
        (one) => one.definition.type === definition.type && (one.data as { orderId: string }).orderId === id,
      );
    for (const definition of [OrderConfirmed, OrderRejected, OrderCancelled]) {
      expect(said(definition).length).toBeLessThanOrEqual(1);
    }
    const revisions = said(OrderBackordered).map(
      ({ data }) => (data as DataOf<typeof OrderBackordered>).revision,
    );
    expect(revisions).toEqual(revisions.toSorted((one, other) => one - other));
    expect(new Set(revisions).size).toBe(revisions.length);
  }
}

test(
  "however messages cross: stock adds up and goes to whoever is first, both services agree, and every order ends",
  () => {
    const property = fc.property(baskets, life, (chosen, deeds) => {
      const run = new Run(chosen);
      for (const [what, picks] of deeds) {
        run.do(what);
        for (const pick of picks) run.move(pick);
      }
      run.settle();
      const { store } = run;
      for (const [id, { status }] of store.orders) {
        expect(atRest[status]).toContain(store.ledger.reservation(id)?.status);
      }
      // Once there is enough of everything, every order that still waits is confirmed.
      for (const productId of PRODUCTS)
        run.do({ kind: "restock", restockId: `enough ${productId}`, productId, quantity: 1_000 });
      run.settle();
      for (const { status } of store.orders.values())
        expect(["confirmed", "rejected", "cancelled"]).toContain(status);
      expectSaidOnce(store);
    });
    fc.assert(property, { numRuns: RUNS });
  },
  LIMIT_MS,
);
