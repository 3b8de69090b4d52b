import { allMessages } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { GatewayConfig } from "./config.ts";
import { gatewayHandlers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { Sessions } from "./sessions.ts";
import { GatewayStore, projections } from "./store.ts";

export const service = defineService({
  name: "api-gateway",
  description: "Takes orders, and answers questions about them from its own projections",
  config: GatewayConfig,
  migrations,
  messages: allMessages,
  // Without a broker, orders are accepted and wait in the outbox.
  brokerRequired: false,
  compose(database, { IDEMPOTENCY_RETENTION }) {
    const store = new GatewayStore(database, IDEMPOTENCY_RETENTION);
    const sessions = new Sessions(database);
    const handlers = gatewayHandlers(store);
    return {
      parts: { store, sessions },
      handlers,
      projections: { handlers, tables: projections },
      verifier: sessions.verifier,
      started: (unitOfWork) => sessions.publishKey(unitOfWork),
    };
  },
});
