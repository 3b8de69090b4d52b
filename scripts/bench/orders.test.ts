import { describe, expect, test } from "bun:test";
import { Orders } from "./orders.ts";

/** A hundred measured orders that were due at 0, sent at 5, accepted at 10, confirmed at 20, notified at 30. */
function confirmed(count = 100): Orders {
  const orders = new Orders();
  for (let index = 0; index < count; index += 1) {
    orders.send(`X${index}`, 0, 5, true);
    orders.answer(`X${index}`, 202, 10);
    orders.notify(`X${index}`, "order.received", 15, 16);
    orders.notify(`X${index}`, "order.confirmed", 20, 30);
  }
  return orders;
}

test("times are counted from when an order was due, not from when it was sent", () => {
  const both = (ms: number) => ({ p50: ms, p99: ms });
  expect(confirmed().outcome()).toEqual({
    orders: 100,
    accepted: both(10),
    confirmed: both(20),
    notified: both(30),
    late: both(5),
    faults: [],
  });
});

test("orders before those that are measured have to be confirmed, but their times do not count", () => {
  const orders = confirmed();
  orders.send("WARM", 0, 0, false);
  orders.answer("WARM", 202, 9_000);
  expect(orders.outcome().faults).toEqual(["1 of 101 orders: not confirmed"]);
  orders.notify("WARM", "order.confirmed", 9_000, 9_000);
  expect(orders.outcome()).toMatchObject({ orders: 100, notified: { p99: 30 }, faults: [] });
});

test("the answer may come after the notification", () => {
  const orders = confirmed();
  orders.send("LATE", 0, 0, true);
  orders.notify("LATE", "order.confirmed", 1, 2);
  expect(orders.outcome().faults).toEqual(["1 of 101 orders: confirmed but not answered with 202"]);
  orders.answer("LATE", 202, 3);
  expect(orders.outcome().faults).toEqual([]);
});

describe("a run fails", () => {
  test.each<[string, (orders: Orders) => void]>([
    ["not confirmed", (orders) => orders.answer("Y", 202, 10)],
    ["answered with 503 instead of 202", (orders) => orders.answer("Y", 503, 10)],
    ["not answered", (orders) => orders.fail("Y")],
    [
      "notified with order.waiting instead of order.confirmed",
      (orders) => orders.notify("Y", "order.waiting", 1, 2),
    ],
    [
      "notified with order.rejected instead of order.confirmed",
      (orders) => orders.notify("Y", "order.rejected", 1, 2),
    ],
    ["notified twice", (orders) => orders.notify("X1", "order.confirmed", 20, 31)],
    ["answered or notified without having been sent", (orders) => orders.answer("Z", 202, 10)],
  ])("with one order that is %s", (fault, happens) => {
    const orders = confirmed(5_000);
    orders.send("Y", 0, 5, true);
    happens(orders);
    expect(orders.outcome().faults).toContain(`1 of 5,001 orders: ${fault}`);
  });

  test("also when an order that waited is confirmed in the end", () => {
    const orders = confirmed();
    orders.send("Y", 0, 5, true);
    orders.answer("Y", 202, 10);
    orders.notify("Y", "order.waiting", 20, 21);
    orders.notify("Y", "order.confirmed", 30, 31);
    expect(orders.outcome().faults).toEqual([
      "1 of 101 orders: notified with order.waiting instead of order.confirmed",
    ]);
  });
});

test("an order ends once, with its answer or with its notification, whichever comes last", () => {
  const orders = new Orders();
  for (const orderId of ["X", "Y", "Z"]) orders.send(orderId, 0, 0, true);
  expect(orders.answer("X", 202, 1)).toBe(false);
  expect(orders.notify("X", "order.confirmed", 1, 2)).toBe(true);
  expect(orders.notify("X", "order.confirmed", 1, 3)).toBe(false);
  expect(orders.notify("Y", "order.confirmed", 1, 2)).toBe(false);
  expect(orders.ended).toBe(1);
  expect(orders.answer("Y", 202, 3)).toBe(true);
  expect(orders.fail("Z")).toBe(true);
  expect(orders.answer("Z", 503, 3)).toBe(false);
  expect(orders.ended).toBe(3);
});
