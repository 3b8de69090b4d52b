import { expect, test } from "bun:test";
import { OrderConfirmed, orderIdOf } from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { startNotificationFixture } from "./testing/fixture.ts";

test("a notification has the customer's own name for the order; an older order has its id for one", async () => {
  const { fixture } = await startNotificationFixture();
  await using service = fixture;
  const customerId = "ANN";
  await service.publish(OrderConfirmed, { orderId: orderIdOf(customerId, "MINE"), customerId });
  await service.publish(OrderConfirmed, { orderId: "OLD", customerId });
  const notifications = () => service.parts.store.after(customerId, "0", 10);
  await eventually(() => notifications().length === 2);
  const texts = new Map(notifications().map(({ orderId, message }) => [orderId, message]));
  expect(texts.get("MINE")).toStartWith("Your order MINE is confirmed");
  expect(texts.get("OLD")).toStartWith("Your order OLD is confirmed");
});
