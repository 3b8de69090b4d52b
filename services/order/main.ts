import { runService } from "@distributed-messaging/service/run";
import { service } from "./service.ts";

await runService(service);
