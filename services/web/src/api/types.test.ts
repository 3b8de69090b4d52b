import { expect, test } from "bun:test";
import { isNotification } from "./types.ts";

const notification = {
  seq: 1,
  notificationId: "N",
  orderId: "A",
  type: "order.confirmed",
  message: "Order A is confirmed.",
  at: "2026-01-01T00:00:00.000Z",
};

test("a notification of an unknown type is accepted", () => {
  expect(isNotification({ ...notification, type: "order.shipped" })).toBe(true);
});

test.each([
  ["not an object", "text"],
  ["null", null],
  ["without a number", { ...notification, seq: undefined }],
  ["with a number as text", { ...notification, seq: "1" }],
  ["with a fractional number", { ...notification, seq: 1.5 }],
  ["without an order", { ...notification, orderId: undefined }],
  ["without a type", { ...notification, type: undefined }],
  ["without a message", { ...notification, message: 7 }],
  ["with an invalid time", { ...notification, at: "yesterday" }],
])("a notification is refused: %s", (_, value) => {
  expect(isNotification(value)).toBe(false);
});
