import { allMessages, tokenClaims } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { jwksPath, VerificationKeys } from "@distributed-messaging/service/identity";
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
  compose(database, config, log) {
    const { IDEMPOTENCY_RETENTION, AUTH_SIGNING_KEY, AUTH_SIGNING_KEY_FILE } = config;
    const store = new GatewayStore(database, IDEMPOTENCY_RETENTION);
    const sessions = new Sessions(database, {
      jwksFile: jwksPath(config),
      signingKey: AUTH_SIGNING_KEY,
      signingKeyFile: AUTH_SIGNING_KEY_FILE,
    });
    const { verifier } = new VerificationKeys(database, config, tokenClaims, log);
    const handlers = gatewayHandlers(store);
    return {
      parts: { store, sessions },
      handlers,
      timers: sessions.timers(),
      projections: { handlers, tables: projections },
      verifier,
      started: async (unitOfWork) => {
        await sessions.publishKey(unitOfWork);
        sessions.writeJwks(Date.now());
      },
    };
  },
});
