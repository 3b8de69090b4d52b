import { runService, type ServiceApp } from "@distributed-messaging/service/run";
import { service } from "./service.ts";

/** The HTTP interface. */
export type App = ServiceApp;

await runService(service);
