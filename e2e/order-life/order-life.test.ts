import { describe, expect, test } from "bun:test";
import { CancelOrder, OrderPlaced, PlaceOrder, Restock } from "@distributed-messaging/contracts";
import { slowTest } from "../support/slow-test.ts";
import { allInterleavings, type Interleaving } from "./interleavings.ts";
import { StoreModel, TIME_PASSES } from "./store-model.ts";

/*
 * What happens when two things happen at about the same time: every interleaving of the messages between the order
 * service and the inventory. docs/order-life.md has the outcomes in words.
 */

function placeOrder(store: StoreModel, orderId: string): void {
  const unitPrice = { amount: 100, currency: "EUR" };
  store.send(PlaceOrder, {
    orderId,
    customerId: "CUSTOMER_1",
    items: [{ productId: "P", quantity: 2, unitPrice }],
    total: { amount: 200, currency: "EUR" },
  });
}

function cancelX(store: StoreModel): void {
  store.send(CancelOrder, { orderId: "X", reason: "customer_request" });
}

function restock(store: StoreModel): void {
  store.send(Restock, { restockId: "R", productId: "P", quantity: 2 });
}

/** The state of each order at both services, and the stock. */
function outcomeOf({ store }: Interleaving): string {
  const orders = [...store.orders.values()].map((state) => {
    const reason = state.status === "cancelled" ? ` (${state.reason})` : "";
    return `${state.orderId} ${state.status}${reason}, ${store.ledger.reservation(state.orderId)?.status}`;
  });
  const stock = [...store.ledger.stocks.values()].map(
    ({ onHand, reserved }) => `${reserved} of ${onHand} reserved`,
  );
  return [...orders.sort(), ...stock].join("; ");
}

function outcomesOf(begin: () => StoreModel, passTime = false): { count: number; outcomes: string[] } {
  const interleavings = [...allInterleavings(begin, passTime)];
  return { count: interleavings.length, outcomes: [...new Set(interleavings.map(outcomeOf))].sort() };
}

/** Thousands of interleavings take a second or two, and longer on a machine under load. */
const TIMEOUT_MS = 60_000;

/** X waits, Y is placed after it, and a restock is enough for one of them. */
function twoForOne(): StoreModel {
  const store = new StoreModel({ P: 0 });
  placeOrder(store, "X");
  store.perform(`${PlaceOrder.topic.name} X`);
  store.perform(`${OrderPlaced.topic.name} X`);
  placeOrder(store, "Y");
  restock(store);
  return store;
}

describe("a customer cancels", () => {
  test("while the stock is being reserved: cancelled, nothing is reserved", () => {
    const { count, outcomes } = outcomesOf(() => {
      const store = new StoreModel({ P: 2 });
      placeOrder(store, "X");
      cancelX(store);
      return store;
    });
    // The cancellation may be handled between any two of the transitions to the reservation, and cross each of them.
    expect(count).toBe(5);
    expect(outcomes).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test("while the stock is being reserved, and another order wants it: the other order is confirmed", () => {
    const { count, outcomes } = outcomesOf(() => {
      const store = new StoreModel({ P: 2 });
      placeOrder(store, "X");
      placeOrder(store, "Y");
      cancelX(store);
      return store;
    });
    expect(count).toBeGreaterThan(200);
    expect(outcomes).toEqual([
      "X cancelled (customer_request), cancelled; Y confirmed, reserved; 2 of 2 reserved",
    ]);
  });

  test("twice: cancelled once", () => {
    const { outcomes } = outcomesOf(() => {
      const store = new StoreModel({ P: 2 });
      placeOrder(store, "X");
      cancelX(store);
      cancelX(store);
      return store;
    });
    expect(outcomes).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  test("an order for a product that is not sold: cancelled or rejected, whichever the order service handles first", () => {
    const { outcomes } = outcomesOf(() => {
      const store = new StoreModel({});
      placeOrder(store, "X");
      cancelX(store);
      return store;
    });
    expect(outcomes).toEqual(["X cancelled (customer_request), rejected", "X rejected, rejected"]);
  });

  test("while the order waits and the product is restocked: cancelled, the whole restock is available", () => {
    const { count, outcomes } = outcomesOf(() => {
      const store = new StoreModel({ P: 0 });
      placeOrder(store, "X");
      cancelX(store);
      restock(store);
      return store;
    });
    expect(count).toBe(40);
    expect(outcomes).toEqual(["X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });

  slowTest(
    "while the product is restocked, and another order waits behind it: the other order is confirmed",
    () => {
      const { count, outcomes } = outcomesOf(() => {
        const store = twoForOne();
        cancelX(store);
        return store;
      });
      expect(count).toBeGreaterThan(2_000);
      expect(outcomes).toEqual([
        "X cancelled (customer_request), cancelled; Y confirmed, reserved; 2 of 2 reserved",
      ]);
    },
    TIMEOUT_MS,
  );
});

describe("the deadline of a waiting order passes while the product is restocked", () => {
  const begin = () => {
    const store = new StoreModel({ P: 0 });
    placeOrder(store, "X");
    restock(store);
    return store;
  };
  const confirmed = "X confirmed, reserved; 2 of 2 reserved";
  const expired = "X cancelled (backorder_expired), cancelled; 0 of 2 reserved";

  test("expired if it passes before the order is confirmed, whatever is in the topics; else confirmed", () => {
    const interleavings = [...allInterleavings(begin, true)];
    expect(interleavings.length).toBeGreaterThan(10);
    for (const interleaving of interleavings) {
      const { transitions } = interleaving;
      // Time passes only while the order waits, that is, before the order service has handled StockReserved.
      const expected = transitions.includes(TIME_PASSES) ? expired : confirmed;
      expect({ transitions, outcome: outcomeOf(interleaving) }).toEqual({ transitions, outcome: expected });
    }
    expect(new Set(interleavings.map(outcomeOf))).toEqual(new Set([expired, confirmed]));
  });

  test(
    "and another order waits behind it: one of them is confirmed in time, or both expire and the stock is available",
    () => {
      const { count, outcomes } = outcomesOf(twoForOne, true);
      expect(count).toBeGreaterThan(5_000);
      const [xExpired, yExpired] = ["X", "Y"].map((id) => `${id} cancelled (backorder_expired), cancelled`);
      expect(outcomes).toEqual([
        `${xExpired}; ${yExpired}; 0 of 2 reserved`,
        `${xExpired}; Y confirmed, reserved; 2 of 2 reserved`,
        `X confirmed, reserved; ${yExpired}; 2 of 2 reserved`,
      ]);
    },
    TIMEOUT_MS,
  );

  test("and the customer cancels: whichever the order service handles first, nothing stays reserved", () => {
    const { outcomes } = outcomesOf(() => {
      const store = begin();
      cancelX(store);
      return store;
    }, true);
    expect(outcomes).toEqual([expired, "X cancelled (customer_request), cancelled; 0 of 2 reserved"]);
  });
});
