import { type Migration, rebuildMigration } from "@distributed-messaging/messaging";
import gateway from "./0001-gateway.sql" with { type: "text" };

export const migrations: readonly Migration[] = [rebuildMigration, { name: "gateway", sql: gateway }];
