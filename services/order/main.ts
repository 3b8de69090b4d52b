import { SigningKeyPublished, tokenClaims } from "@distributed-messaging/contracts";
import { loadConfig } from "@distributed-messaging/service/config";
import {
  createServiceApp,
  openStorage,
  serve,
  startMessaging,
} from "@distributed-messaging/service/defaults";
import { SigningKeys } from "@distributed-messaging/service/identity";
import { runService } from "@distributed-messaging/service/run";
import { OrderConfig } from "./config.ts";
import { orderHandlers, orderTimers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { OrderStore } from "./store.ts";

await runService("order", async (service) => {
  const config = loadConfig(OrderConfig, service.env, service.name);
  const database = openStorage(service, config, migrations);
  const store = new OrderStore(database);
  const keys = new SigningKeys(database, SigningKeyPublished, tokenClaims);
  const handlers = [...orderHandlers(store, config.BACKORDER_TTL), keys.handler];
  const timers = orderTimers(store, config.BACKORDER_TTL);
  const messaging = startMessaging(service, config, database, handlers, timers);
  const { app, metrics } = createServiceApp(service, {
    description: "Decides what becomes of each order",
    config,
    database,
    messaging,
    verifier: keys.verifier,
    brokerRequired: true,
  });
  for (const status of ["pending", "backordered", "confirmed", "rejected", "cancelled"] as const) {
    metrics.gauge(`orders_${status}`, `Orders that are ${status}`, () => store.countByStatus(status));
  }
  return serve(service, app, { host: config.HOST, port: config.ORDER_PORT, setting: "ORDER_PORT" });
});
