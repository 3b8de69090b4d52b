import { expect, test } from "bun:test";
import { allMessages } from "@distributed-messaging/contracts";
import { messageDescriptions, services } from "./message-descriptions.ts";

test("every message about an order has a description that agrees with the contracts", () => {
  // A timeline shows no other messages.
  for (const { type, topic } of allMessages.filter(({ topic }) => topic.key === "orderId")) {
    expect({ type, topic: messageDescriptions[type]?.topic }).toEqual({ type, topic: topic.name });
  }
});

test("the services are in the order in which an order reaches them", () => {
  expect(services).toEqual(["api-gateway", "order", "inventory", "notification"]);
});
