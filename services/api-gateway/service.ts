import { allMessages, tokenClaims } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { jwksPath, VerificationKeys } from "@distributed-messaging/service/identity";
import { secretOf } from "@distributed-messaging/service/secrets";
import { parseSigningKey } from "@distributed-messaging/service/signing-key";
import { GatewayConfig } from "./config.ts";
import { gatewayHandlers, type StatusTimes } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { Sessions } from "./sessions.ts";
import { GatewayStore, projections } from "./store.ts";

/** Orders are shown so much later at most, and each request that is accepted meanwhile waits for fewer commits. */
const FETCH_INTERVAL_MS = 25;

/** Upper bounds in seconds, from an order that is handled at once to one that waits for stock for days. */
const STATUS_BUCKETS_S = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3_600, 86_400];

export const service = defineService({
  name: "api-gateway",
  description: "Takes orders, and answers questions about them from its own projections",
  license: "MIT",
  config: GatewayConfig,
  migrations,
  messages: allMessages,
  // Without a broker, orders are accepted and wait in the outbox.
  brokerRequired: false,
  compose(database, config, log) {
    const store = new GatewayStore(database, config.IDEMPOTENCY_RETENTION);
    const signingKey = secretOf(config, "AUTH_SIGNING_KEY");
    const sessions = new Sessions(database, {
      jwksFile: jwksPath(config),
      signingKey: signingKey && parseSigningKey(signingKey()),
    });
    const { verifier } = new VerificationKeys(database, config, tokenClaims, log);
    let reached: StatusTimes = () => {};
    return {
      parts: { store, sessions },
      handlers: gatewayHandlers(store, (status, seconds) => reached(status, seconds)),
      timers: sessions.timers(),
      fetchIntervalMs: FETCH_INTERVAL_MS,
      projections: { handlers: gatewayHandlers(store), tables: projections },
      measure(metrics) {
        const observe = metrics.histogram(
          "order_status_seconds",
          "Time from the acceptance of an order until its customer can see that it has a status",
          ["status"],
          STATUS_BUCKETS_S,
        );
        reached = (status, seconds) => observe(seconds, status);
      },
      retention: config.ORDER_RETENTION === undefined ? undefined : store.keptFor(config.ORDER_RETENTION),
      verifier,
      started: async (unitOfWork) => {
        await sessions.publishKey(unitOfWork);
        sessions.writeJwks(Date.now());
      },
    };
  },
});
