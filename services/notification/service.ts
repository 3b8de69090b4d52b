import { allMessages, SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { defineService } from "@distributed-messaging/service/composition";
import { instanceOf } from "@distributed-messaging/service/config";
import { VerificationKeys } from "@distributed-messaging/service/identity";
import { NotificationConfig } from "./config.ts";
import { notificationHandlers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { Push } from "./push.ts";
import { NotificationStore, projections } from "./store.ts";

export const service = defineService({
  name: "notification",
  description: "Notifies customers of the progress of their orders",
  license: "MIT",
  config: NotificationConfig,
  migrations,
  messages: allMessages,
  brokerRequired: true,
  pagePort: ({ API_GATEWAY_PORT }) => API_GATEWAY_PORT,
  compose(database, config, log) {
    const store = new NotificationStore(database, instanceOf(config));
    const push = new Push((customerId, after, limit) => store.after(customerId, after, limit));
    const keys = new VerificationKeys(database, config, tokenClaims, log);
    const handlers = notificationHandlers(store, (customerId) => push.notify(customerId));
    return {
      parts: { store, push },
      handlers: [...handlers, keys.handler(SigningKeyPublished)],
      projections: { handlers, tables: projections },
      retention:
        config.NOTIFICATION_RETENTION === undefined
          ? undefined
          : store.keptFor(config.NOTIFICATION_RETENTION),
      recovered: () => store.renewCursors(),
      verifier: keys.verifier,
      gauges: [{ name: "websockets_open", help: "Clients that are connected", read: () => push.size }],
    };
  },
});
