import { expect, test } from "bun:test";
import { allMessages } from "@distributed-messaging/contracts";
import type { MovedMessage } from "@distributed-messaging/supervisor/reports";
import { lastMessage, messageDescriptions, services } from "./message-descriptions.ts";

test("every message about an order has a description that agrees with the contracts", () => {
  // A timeline shows no other messages.
  for (const { type, topic } of allMessages.filter(({ topic }) => topic.key === "orderId")) {
    expect({ type, topic: messageDescriptions[type]?.topic }).toEqual({ type, topic: topic.name });
  }
});

test("the services are in the order in which an order reaches them", () => {
  expect(services).toEqual(["api-gateway", "order", "inventory", "notification"]);
});

test("the last message is named, also where a record that is none came after it", () => {
  const type = "store.stock.changed.v1";
  const moved = (at: number, sender: string) => ({ at, key: "CUP", type, sender });
  const movement = (topic: string, ...sample: readonly MovedMessage[]) => ({
    ...{ topic, stored: sample.length, read: {} },
    sample,
  });
  const owner = movement("order.owner", { at: 3, key: "claim", type: null, sender: null });
  const messages = [movement("one", moved(2, "last")), movement("other", moved(1, "first"))];
  expect(lastMessage([owner, ...messages])).toEqual({ type, sender: "last" });
  expect(lastMessage([owner])).toBeUndefined();
});
