import type { Migration } from "@distributed-messaging/messaging";
import { retentionMigration } from "@distributed-messaging/service/retention";
import orders from "./0001-orders.sql" with { type: "text" };
import compactOrders from "./0002-compact-orders.sql" with { type: "text" };
import finalByAge from "./0003-final-by-age.sql" with { type: "text" };

export const migrations: readonly Migration[] = [
  { name: "orders", sql: orders },
  { name: "compact orders", sql: compactOrders },
  retentionMigration,
  { name: "final orders by age", sql: finalByAge, additive: true },
];
