import type { Migration } from "@distributed-messaging/messaging";
import gateway from "./0001-gateway.sql" with { type: "text" };

export const migrations: readonly Migration[] = [{ name: "gateway", sql: gateway }];
