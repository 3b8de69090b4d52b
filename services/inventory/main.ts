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
import { InventoryConfig } from "./config.ts";
import { inventoryHandlers } from "./handlers.ts";
import { inventoryRoutes } from "./http.ts";
import { migrations } from "./migrations/index.ts";
import { InventoryStore } from "./store.ts";

await runService("inventory", async (service) => {
  const config = loadConfig(InventoryConfig, service.env, service.name);
  const database = openStorage(service, config, migrations);
  const store = new InventoryStore(database);
  const keys = new SigningKeys(database, SigningKeyPublished, tokenClaims);
  const messaging = startMessaging(service, config, database, [...inventoryHandlers(store), keys.handler]);
  const { app, metrics } = createServiceApp(service, {
    description: "Keeps the stock and sets it aside for orders",
    config,
    database,
    messaging,
    verifier: keys.verifier,
    brokerRequired: true,
  });
  metrics.gauge("orders_waiting", "Orders that stand in line for stock", () => store.waiting());
  app.use(
    inventoryRoutes({
      store,
      unitOfWork: messaging.unitOfWork,
      automationTesting: config.AUTOMATION_TESTING,
    }),
  );
  return serve(service, app, { host: config.HOST, port: config.INVENTORY_PORT, setting: "INVENTORY_PORT" });
});
