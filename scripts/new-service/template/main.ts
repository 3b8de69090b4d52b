import { runService } from "@distributed-messaging/service/run";
import { templateRoutes } from "./http.ts";
import { service } from "./service.ts";

await runService(service, ({ parts: { store }, messaging: { unitOfWork }, verifier }) =>
  templateRoutes(store, unitOfWork, verifier),
);
