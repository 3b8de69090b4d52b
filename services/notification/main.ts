import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { rebuildRoutes, startRebuild } from "@distributed-messaging/service/admin/rebuild";
import { loadConfig } from "@distributed-messaging/service/config";
import {
  createServiceApp,
  openStorage,
  serve,
  startMessaging,
} from "@distributed-messaging/service/defaults";
import { SigningKeys } from "@distributed-messaging/service/identity";
import { runService } from "@distributed-messaging/service/run";
import { NotificationConfig } from "./config.ts";
import { notificationHandlers } from "./handlers.ts";
import { notificationRoutes } from "./http.ts";
import { migrations } from "./migrations/index.ts";
import { Push } from "./push.ts";
import { NotificationStore, projections } from "./store.ts";

await runService("notification", async (service) => {
  const config = loadConfig(NotificationConfig, service.env, service.name);
  const database = openStorage(service, config, migrations);
  const store = new NotificationStore(database);
  const push = new Push((customerId, after, limit) => store.after(customerId, after, limit));
  const keys = new SigningKeys(database, SigningKeyPublished, tokenClaims);
  const handlers = notificationHandlers(store, (customerId) => push.notify(customerId));
  const messaging = startMessaging(service, config, database, [...handlers, keys.handler]);
  const rebuild = startRebuild(service, { config, database, messaging, handlers, tables: projections });
  const { app, metrics } = createServiceApp(service, {
    description: "Tells customers what becomes of their orders",
    config,
    database,
    messaging,
    verifier: keys.verifier,
    brokerRequired: true,
  });
  metrics.gauge("websockets_open", "Clients that are listening", () => push.size);
  app.use(rebuildRoutes(rebuild, keys.verifier));
  app.use(notificationRoutes(store, push, keys.verifier));
  return serve(service, app, {
    host: config.HOST,
    port: config.NOTIFICATION_PORT,
    setting: "NOTIFICATION_PORT",
  });
});
