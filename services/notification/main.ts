import { runService } from "@distributed-messaging/service/run";
import { notificationRoutes } from "./http.ts";
import { service } from "./service.ts";

await runService(service, ({ config, parts: { store, push }, verifier }) =>
  notificationRoutes({ store, push, verifier, config }),
);
