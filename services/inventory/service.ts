import { allMessages, SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { VerificationKeys } from "@distributed-messaging/service/identity";
import { InventoryConfig } from "./config.ts";
import { inventoryHandlers, inventoryTimers, settlingHandlers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { InventoryStore } from "./store.ts";

export const service = defineService({
  name: "inventory",
  description: "Keeps the stock and reserves it for orders",
  license: "MIT",
  config: InventoryConfig,
  migrations,
  messages: allMessages,
  brokerRequired: true,
  compose(database, config, log) {
    const { ORDER_RETENTION } = config;
    const store = new InventoryStore(database);
    const keys = new VerificationKeys(database, config, tokenClaims, log);
    const policy = {
      priorityMs: config.BACKORDER_PRIORITY,
      priorityQuantity: config.BACKORDER_PRIORITY_QUANTITY,
      maxWaiting: config.MAX_WAITING_ORDERS,
    };
    return {
      parts: { store },
      handlers: [
        ...inventoryHandlers(store, policy),
        ...(ORDER_RETENTION === undefined ? [] : settlingHandlers(store)),
        keys.handler(SigningKeyPublished),
      ],
      retention: ORDER_RETENTION === undefined ? undefined : store.keptFor(ORDER_RETENTION),
      timers: inventoryTimers(store, policy),
      verifier: keys.verifier,
      gauges: [{ name: "orders_waiting", help: "Orders that wait for stock", read: () => store.waiting() }],
    };
  },
});
