import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  CancelOrder,
  OrderCancelled,
  PlaceOrder,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { BACKORDER_TTL_MS, type OrderFixture, startOrderFixture } from "./testing/fixture.ts";

let orders: OrderFixture;
beforeEach(async () => {
  orders = await startOrderFixture();
  await orders.publish(PlaceOrder, {
    orderId: "X",
    customerId: "ANN",
    items: [{ productId: "CUP", quantity: 2, unitPrice: { amount: 100, currency: "EUR" } }],
    total: { amount: 200, currency: "EUR" },
  });
  await short(1);
  await statusIs("X", "backordered");
});
afterEach(() => orders[Symbol.asyncDispose]());

const statusIs = (orderId: string, status: string) =>
  eventually(() => orders.parts.store.find(orderId)?.status === status, `${orderId} is not ${status}`);
const deadlines = () => orders.running.messaging.timers.counts().pending;

const short = (revision: number) =>
  orders.publish(
    StockShort,
    { orderId: "X", shortages: [{ productId: "CUP", missing: 2 }], revision },
    { correlation: "trace" },
  );
const reserved = () =>
  orders.publish(StockReserved, { orderId: "X", lines: [{ productId: "CUP", quantity: 2 }] });

describe("the deadline of a backordered order", () => {
  test("is set when it is backordered, and does not change with its shortages", async () => {
    const due = () => orders.database.sql.query("SELECT key, due_at FROM timers").all();
    const before = due();
    expect(before).toHaveLength(1);
    orders.aheadMs = BACKORDER_TTL_MS / 2;
    await short(2);
    await eventually(() => (orders.parts.store.find("X") as { revision?: number }).revision === 2);
    expect(due()).toEqual(before);
  });

  test("is removed once it is confirmed or cancelled", async () => {
    expect(deadlines()).toBe(1);
    await reserved();
    await statusIs("X", "confirmed");
    expect(deadlines()).toBe(0);
  });

  test("cancels it once, with the correlation id of the order", async () => {
    orders.aheadMs = BACKORDER_TTL_MS;
    // A restart reads the due timers again: a pending sleep does not notice that the clock was set.
    await orders.stop();
    await orders.start();
    await statusIs("X", "cancelled");
    await eventually(() => orders.emitted(OrderCancelled).length > 0);
    expect(orders.emitted(OrderCancelled)).toMatchObject([
      { data: { orderId: "X", customerId: "ANN", reason: "backorder_expired" }, correlationid: "trace" },
    ]);
    expect(deadlines()).toBe(0);
  });

  test("that passed while the service was down takes effect at the next start, also if stock arrived meanwhile", async () => {
    await orders.stop();
    await reserved();
    await orders.publish(CancelOrder, { orderId: "X", reason: "customer_request" });
    orders.aheadMs = BACKORDER_TTL_MS;
    await orders.start();
    await statusIs("X", "cancelled");
    await eventually(() => orders.running.messaging.consumer.counts.handled === 2);
    expect(orders.emitted(OrderCancelled)).toMatchObject([{ data: { reason: "backorder_expired" } }]);
    expect(orders.running.messaging.deadLetters.count()).toBe(0);
  });

  test("that has not passed when the service is back lets the stock that arrived meanwhile count", async () => {
    await orders.stop();
    await reserved();
    orders.aheadMs = BACKORDER_TTL_MS - 10_000;
    await orders.start();
    await statusIs("X", "confirmed");
  });
});

test("cancelling twice is one effect", async () => {
  await orders.publish(CancelOrder, { orderId: "X", reason: "customer_request" });
  await orders.publish(CancelOrder, { orderId: "X", reason: "customer_request" });
  await eventually(() => orders.running.messaging.consumer.counts.handled === 4);
  await eventually(() => orders.emitted(OrderCancelled).length > 0);
  expect(orders.emitted(OrderCancelled)).toHaveLength(1);
  expect(deadlines()).toBe(0);
});

test("an order is counted under its status, whichever that is", async () => {
  expect(orders.parts.store.countByStatus("backordered")).toBe(1);
  await orders.publish(CancelOrder, { orderId: "X", reason: "customer_request" });
  await statusIs("X", "cancelled");
  expect(orders.parts.store.countByStatus("backordered")).toBe(0);
  expect(orders.parts.store.countByStatus("cancelled")).toBe(1);
});
