import { describe, expect, test } from "bun:test";
import {
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
} from "@distributed-messaging/contracts";
import { type OrderEvent, wordingOf } from "./domain.ts";

const ids = { orderId: "ORDER_1", customerId: "ANN" };
const unitPrice = { amount: 1050, currency: "EUR" };
const item = (productId: string) => ({ productId, quantity: 2, unitPrice });
const placed = (products: readonly string[]): OrderEvent => ({
  type: OrderPlaced.type,
  data: { ...ids, items: products.map(item), total: { amount: 2100 * products.length, currency: "EUR" } },
});
const backordered = (products: readonly string[]): OrderEvent => ({
  type: OrderBackordered.type,
  data: { ...ids, revision: 1, shortages: products.map((productId) => ({ productId, missing: 3 })) },
});

describe("the notification of an event", () => {
  test.each<[string, OrderEvent, string]>([
    ["order.received", placed(["CUP"]), "We have received your order ORDER_1: 2 × CUP, 21.00 EUR in all."],
    [
      "order.waiting",
      backordered(["CUP", "JUG"]),
      "Your order ORDER_1 waits: we are short of 3 × CUP, 3 × JUG. It goes on by itself as soon as we have enough.",
    ],
    [
      "order.confirmed",
      { type: OrderConfirmed.type, data: ids },
      "Your order ORDER_1 is confirmed: everything in it is reserved for you.",
    ],
    [
      "order.rejected",
      { type: OrderRejected.type, data: { ...ids, reason: "unknown product CUP" } },
      "We cannot fulfil your order ORDER_1: unknown product CUP.",
    ],
    [
      "order.cancelled",
      { type: OrderCancelled.type, data: { ...ids, reason: "customer_request" } },
      "Your order ORDER_1 is cancelled, as you asked.",
    ],
    [
      "order.cancelled",
      { type: OrderCancelled.type, data: { ...ids, reason: "backorder_expired" } },
      "Your order ORDER_1 is cancelled: we are sorry, what it waited for has not come in in time.",
    ],
  ])("%s", (type, event, message) => {
    expect(wordingOf(event, "ORDER_1")).toEqual({
      type: type as ReturnType<typeof wordingOf>["type"],
      message,
    });
  });

  test("is short, however long the order", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => `P${index}`);
    expect(wordingOf(placed(hundred), "ORDER_1").message).toContain(
      "2 × P4 and 95 more products, 2100.00 EUR in all",
    );
    expect(wordingOf(backordered(hundred), "ORDER_1").message).toContain("3 × P4 and 95 more products");
    expect(wordingOf(backordered(hundred.slice(0, 6)), "ORDER_1").message).toContain("3 × P5.");
  });
});
