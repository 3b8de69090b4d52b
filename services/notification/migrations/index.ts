import type { Migration } from "@distributed-messaging/messaging";
import notifications from "./0001-notifications.sql" with { type: "text" };

export const migrations: readonly Migration[] = [{ name: "notifications", sql: notifications }];
