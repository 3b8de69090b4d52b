import { describe, expect, test } from "bun:test";
import type { PlaceOrder } from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import { everyWay, TIME_PASSES, type Way } from "./every-way.ts";
import { StoreModel } from "./store-model.ts";

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

/** How it ends: each order at both services, and the stock. */
function outcomeOf({ store }: Way): string {
  const orders = [...store.orders.values()].map((state) => {
    const reason = state.status === "cancelled" ? ` (${state.reason})` : "";
    return `${state.orderId} ${state.status}${reason}, ${store.ledger.reservation(state.orderId)?.status}`;
  });
  const stock = [...store.ledger.stocks.values()].map(
    ({ onHand, reserved }) => `${reserved} of ${onHand} reserved`,
  );
  return [...orders.sort(), ...stock].join("; ");
}

function outcomes(begin: () => StoreModel, passTime = false): { ways: number; ends: string[] } {
  const ways = [...everyWay(begin, passTime)];
  return { ways: ways.length, ends: [...new Set(ways.map(outcomeOf))].sort() };
}

/** Thousands of ways take a second or two; on a machine that is busy with something else, longer. */
const LIMIT_MS = 60_000;

const cancel = { orderId: "X", reason: "customer_request" } as const;
const restock = { restockId: "R", productId: "P", quantity: 2 };

/** X waits, Y comes after it, and what comes in is enough for one of them. */
function twoForOne(): StoreModel {
  const store = new StoreModel({ P: 0 });
  store.place(order("X", 2));
  store.make("order takes a command");
  store.make("inventory hears of an order");
  store.place(order("Y", 2));
  store.restock(restock);
  return store;
}

describe("a customer cancels", () => {
  test("while the stock is being reserved: cancelled, nothing is held", () => {
    const { ways, ends } = outcomes(() => {
      const store = new StoreModel({ P: 2 });
      store.place(order("X", 2));
      store.cancel(cancel);
      return store;
    });
    // The cancellation may come between any two of the steps to the reservation, and cross each of them.
    expect(ways).toBe(5);
    expect(ends).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test("while the stock is being reserved, and somebody else wants the same: that one gets it", () => {
    const { ways, ends } = outcomes(() => {
      const store = new StoreModel({ P: 2 });
      store.place(order("X", 2));
      store.place(order("Y", 2));
      store.cancel(cancel);
      return store;
    });
    expect(ways).toBeGreaterThan(200);
    expect(ends).toEqual([
      "X cancelled (customer_request), cancelled; Y confirmed, reserved; 2 of 2 reserved",
    ]);
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
    expect(ways).toBe(40);
    expect(ends).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test(
    "while a restock comes in, and somebody waits behind: that one gets it",
    () => {
      const { ways, ends } = outcomes(() => {
        const store = twoForOne();
        store.cancel(cancel);
        return store;
      });
      expect(ways).toBeGreaterThan(2_000);
      expect(ends).toEqual([
        "X cancelled (customer_request), cancelled; Y confirmed, reserved; 2 of 2 reserved",
      ]);
    },
    LIMIT_MS,
  );
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
      const isLate = way.steps.includes(TIME_PASSES);
      expect({ steps: way.steps, end: outcomeOf(way) }).toEqual({
        steps: way.steps,
        end: isLate ? expired : confirmed,
      });
    }
    expect(new Set(ways.map(outcomeOf))).toEqual(new Set([expired, confirmed]));
  });

  test(
    "and somebody waits behind: one who is in time gets it, or nobody does and it is free",
    () => {
      const { ways, ends } = outcomes(twoForOne, true);
      expect(ways).toBeGreaterThan(5_000);
      const [xExpired, yExpired] = ["X", "Y"].map((id) => `${id} cancelled (backorder_expired), cancelled`);
      expect(ends).toEqual([
        `${xExpired}; ${yExpired}; 0 of 2 reserved`,
        `${xExpired}; Y confirmed, reserved; 2 of 2 reserved`,
        `X confirmed, reserved; ${yExpired}; 2 of 2 reserved`,
      ]);
    },
    LIMIT_MS,
  );

  test("and the customer cancels, too: whichever the order service takes first, nothing is held", () => {
    const { ends } = outcomes(() => {
      const store = begin();
      store.cancel(cancel);
      return store;
    }, true);
    expect(ends).toEqual([expired, "X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });
});
