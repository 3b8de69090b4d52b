import { describe, expect, test } from "bun:test";
import type { DataOf, PlaceOrder } from "@distributed-messaging/contracts";
import { type Move, StoreModel } from "./testing/store-model.ts";

/*
 * What happens when two things meet: every way in which the messages between the order service and the inventory may
 * come is tried. docs/order-life.md has the outcomes in words.
 */

function order(orderId: string, quantity: number): DataOf<typeof PlaceOrder> {
  const unitPrice = { amount: 100, currency: "EUR" };
  return {
    orderId,
    customerId: "CUSTOMER_1",
    items: [{ productId: "P", quantity, unitPrice }],
    total: { amount: quantity * 100, currency: "EUR" },
  };
}

interface Way {
  readonly moves: readonly Move[];
  readonly store: StoreModel;
}

/** Every way in which things may go, from beginning to end. @param passTime whether a deadline may pass, at any time */
function* everyWay(begin: () => StoreModel, passTime: boolean): Iterable<Way> {
  const left: Move[][] = [[]];
  for (let moves = left.pop(); moves !== undefined; moves = left.pop()) {
    const store = begin();
    for (const move of moves) store.make(move);
    const next = store.moves();
    const hasPassed = moves.includes("time passes the deadline");
    if (passTime && store.canExpire && !hasPassed) next.push("time passes the deadline");
    if (next.length === 0) yield { moves, store };
    for (const move of next) left.push([...moves, move]);
  }
}

/** How it ends: each order at both services, and the stock. */
function outcomeOf({ store }: Way): string {
  const orders = [...store.orders.values()].map((state) => {
    const reason = state.status === "cancelled" ? ` (${state.reason})` : "";
    return `${state.orderId} ${state.status}${reason}, ${store.books.reservation(state.orderId)?.status}`;
  });
  const stock = [...store.books.stocks.values()].map(
    ({ onHand, reserved }) => `${reserved} of ${onHand} reserved`,
  );
  return [...orders.sort(), ...stock].join("; ");
}

function outcomes(begin: () => StoreModel, passTime = false): { ways: number; ends: string[] } {
  const ways = [...everyWay(begin, passTime)];
  return { ways: ways.length, ends: [...new Set(ways.map(outcomeOf))].sort() };
}

const cancel = { orderId: "X", reason: "customer_request" } as const;
const restock = { restockId: "R", productId: "P", quantity: 2 };

describe("a customer cancels", () => {
  test("while the stock is being reserved: cancelled, nothing is held", () => {
    const { ways, ends } = outcomes(() => {
      const store = new StoreModel({ P: 2 });
      store.place(order("X", 2));
      store.cancel(cancel);
      return store;
    });
    expect(ways).toBeGreaterThan(3);
    expect(ends).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test("twice: as once", () => {
    const { ends } = outcomes(() => {
      const store = new StoreModel({ P: 2 });
      store.place(order("X", 2));
      store.cancel(cancel);
      store.cancel(cancel);
      return store;
    });
    expect(ends).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test("an order for something that is not sold: cancelled or rejected, whichever the order service hears first", () => {
    const { ends } = outcomes(() => {
      const store = new StoreModel({});
      store.place(order("X", 2));
      store.cancel(cancel);
      return store;
    });
    expect(ends).toEqual(["X cancelled (customer_request), rejected", "X rejected, rejected"]);
  });

  test("while the order waits and a restock comes in: cancelled, all of the restock is there", () => {
    const { ways, ends } = outcomes(() => {
      const store = new StoreModel({ P: 0 });
      store.place(order("X", 2));
      store.cancel(cancel);
      store.restock(restock);
      return store;
    });
    expect(ways).toBeGreaterThan(20);
    expect(ends).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test("while a restock comes in, and somebody waits behind: that one gets it", () => {
    const { ways, ends } = outcomes(() => {
      const store = new StoreModel({ P: 0 });
      store.place(order("X", 2));
      store.make("order takes a command");
      store.make("inventory hears of an order");
      store.place(order("Y", 2));
      store.cancel(cancel);
      store.restock(restock);
      return store;
    });
    expect(ways).toBeGreaterThan(100);
    expect(ends).toEqual([
      "X cancelled (customer_request), cancelled; Y confirmed, reserved; 2 of 2 reserved",
    ]);
  });
});

describe("an order waits for as long as it may, and a restock comes in", () => {
  const begin = () => {
    const store = new StoreModel({ P: 0 });
    store.place(order("X", 2));
    store.restock(restock);
    return store;
  };
  const confirmed = "X confirmed, reserved; 2 of 2 reserved";
  const expired = "X cancelled (backorder_expired), cancelled; 0 of 2 reserved";

  test("whatever is on its way when the deadline passes: expired; served before that: confirmed", () => {
    const ways = [...everyWay(begin, true)];
    expect(ways.length).toBeGreaterThan(10);
    for (const way of ways) {
      // It can only pass for an order that waits: one that the order service has not heard of its stock for.
      const isLate = way.moves.includes("time passes the deadline");
      expect({ moves: way.moves, end: outcomeOf(way) }).toEqual({
        moves: way.moves,
        end: isLate ? expired : confirmed,
      });
    }
    expect(new Set(ways.map(outcomeOf))).toEqual(new Set([expired, confirmed]));
  });

  test("and the customer cancels, too: whichever the order service takes first, nothing is held", () => {
    const { ends } = outcomes(() => {
      const store = begin();
      store.cancel(cancel);
      return store;
    }, true);
    expect(ends).toEqual([expired, "X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });
});
