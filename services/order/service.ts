import { allMessages, SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { VerificationKeys } from "@distributed-messaging/service/identity";
import { OrderConfig } from "./config.ts";
import { orderHandlers, orderTimers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { OrderStore } from "./store.ts";

export const service = defineService({
  name: "order",
  description: "Decides what becomes of each order",
  license: "MIT",
  config: OrderConfig,
  migrations,
  messages: allMessages,
  brokerRequired: true,
  compose(database, config, log) {
    const { BACKORDER_TTL, ORDER_RETENTION } = config;
    const store = new OrderStore(database);
    const keys = new VerificationKeys(database, config, tokenClaims, log);
    return {
      parts: { store },
      handlers: [...orderHandlers(store, BACKORDER_TTL), keys.handler(SigningKeyPublished)],
      timers: orderTimers(store, BACKORDER_TTL),
      retention: ORDER_RETENTION === undefined ? undefined : store.keptFor(ORDER_RETENTION),
      verifier: keys.verifier,
      gauges: (["pending", "backordered", "confirmed", "rejected", "cancelled"] as const).map((status) => ({
        name: `orders_${status}`,
        help: `Orders that are ${status}`,
        read: () => store.countByStatus(status),
      })),
    };
  },
});
