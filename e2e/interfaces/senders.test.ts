import { expect, test } from "bun:test";
import { allMessages } from "@distributed-messaging/contracts";
import { byType } from "@distributed-messaging/messaging";
import { serviceNames } from "@distributed-messaging/services/registry";
import { useStore } from "../support/own-store.ts";

/** Other sources on this broker, such as tests, have other names. */
const services: ReadonlySet<string> = new Set(serviceNames);

const store = useStore();

test("the source of every message is the sender of its contract", async () => {
  await store.seed();
  const customer = await store.signIn("CUSTOMER_001");
  const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 3 }] });
  await customer.until(orderId, "confirmed");
  const definitions = byType(allMessages);
  const seen = new Set<string>();
  for (const topic of new Set(allMessages.map(({ topic: { name } }) => name))) {
    for (const { value } of await store.records.read(topic)) {
      const { type, source } = JSON.parse(value?.toString() ?? "{}") as { type: string; source: string };
      const definition = definitions.get(type);
      if (definition === undefined || !services.has(source)) continue;
      expect({ type, source }).toEqual({ type, source: definition.source });
      seen.add(source);
    }
  }
  expect([...seen]).toContainValues(["api-gateway", "inventory", "order"]);
}, 60_000);
