import { type Migration, rebuildMigration } from "@distributed-messaging/messaging";
import { retentionMigration } from "@distributed-messaging/service/retention";
import notifications from "./0001-notifications.sql" with { type: "text" };
import compactNotifications from "./0002-compact-notifications.sql" with { type: "text" };
import positions from "./0003-positions.sql" with { type: "text" };

export const migrations: readonly Migration[] = [
  rebuildMigration,
  { name: "notifications", sql: notifications },
  { name: "compact notifications", sql: compactNotifications },
  retentionMigration,
  { name: "positions", sql: positions },
];
