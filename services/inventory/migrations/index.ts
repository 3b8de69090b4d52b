import type { Migration } from "@distributed-messaging/messaging";
import { retentionMigration } from "@distributed-messaging/service/retention";
import stock from "./0001-stock.sql" with { type: "text" };
import waitQueue from "./0002-wait-queue.sql" with { type: "text" };
import priority from "./0003-priority.sql" with { type: "text" };
import settled from "./0004-settled.sql" with { type: "text" };

export const migrations: readonly Migration[] = [
  { name: "stock", sql: stock },
  { name: "wait-queue", sql: waitQueue },
  { name: "priority", sql: priority },
  retentionMigration,
  { name: "settled reservations", sql: settled, additive: true },
];
