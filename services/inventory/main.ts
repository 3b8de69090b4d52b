import { runService } from "@distributed-messaging/service/run";
import { inventoryRoutes } from "./http.ts";
import { service } from "./service.ts";

await runService(service, ({ config, parts: { store }, messaging: { unitOfWork }, verifier }) =>
  inventoryRoutes({ store, unitOfWork, automationTesting: config.AUTOMATION_TESTING, verifier }),
);
