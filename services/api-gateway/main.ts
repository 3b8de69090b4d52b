import { rebuildRoutes, startRebuild } from "@distributed-messaging/service/admin/rebuild";
import { loadConfig } from "@distributed-messaging/service/config";
import {
  createServiceApp,
  openStorage,
  serve,
  startMessaging,
} from "@distributed-messaging/service/defaults";
import { runService } from "@distributed-messaging/service/run";
import { GatewayConfig } from "./config.ts";
import { gatewayHandlers } from "./handlers.ts";
import { gatewayRoutes } from "./http.ts";
import { migrations } from "./migrations/index.ts";
import { pageRoutes } from "./page/page.ts";
import { Sessions } from "./sessions.ts";
import { GatewayStore, projections } from "./store.ts";

await runService("api-gateway", async (service) => {
  const config = loadConfig(GatewayConfig, service.env, service.name);
  const database = openStorage(service, config, migrations);
  const store = new GatewayStore(database, config.IDEMPOTENCY_RETENTION);
  const handlers = gatewayHandlers(store);
  const messaging = startMessaging(service, config, database, handlers);
  const rebuild = startRebuild(service, { config, database, messaging, handlers, tables: projections });
  const sessions = await Sessions.open(database, messaging.unitOfWork);
  const { app } = createServiceApp(service, {
    description: "Takes orders and answers every question about them from its own copy",
    config,
    database,
    messaging,
    verifier: sessions.verifier,
    // Orders are accepted without a broker; they wait in the outbox.
    brokerRequired: false,
  });
  app.use(rebuildRoutes(rebuild, sessions.verifier));
  app.use(
    gatewayRoutes({
      store,
      sessions,
      messaging,
      demoSignIn: config.DEMO_SIGN_IN,
      outboxLimit: config.OUTBOX_LIMIT,
    }),
  );
  const { NOTIFICATION_PORT: notificationPort, SUPERVISOR_PORT: supervisorPort } = config;
  app.use(
    pageRoutes({
      notificationPort,
      ...(supervisorPort === undefined ? {} : { supervisorPort }),
      demoSignIn: config.DEMO_SIGN_IN,
    }),
  );
  return serve(service, app, {
    host: config.HOST,
    port: config.API_GATEWAY_PORT,
    setting: "API_GATEWAY_PORT",
  });
});
