import { runService } from "@distributed-messaging/service/run";
import { inventoryRoutes } from "./http.ts";
import { service } from "./service.ts";

await runService(service, ({ config, parts: { store }, messaging: { unitOfWork } }) =>
  inventoryRoutes({ store, unitOfWork, automationTesting: config.AUTOMATION_TESTING }),
);
