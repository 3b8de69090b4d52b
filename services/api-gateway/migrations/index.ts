import { type Migration, rebuildMigration } from "@distributed-messaging/messaging";
import { retentionMigration } from "@distributed-messaging/service/retention";
import gateway from "./0001-gateway.sql" with { type: "text" };
import signingKeys from "./0002-signing-keys.sql" with { type: "text" };
import compactHistory from "./0003-compact-history.sql" with { type: "text" };
import ordersByAge from "./0004-orders-by-age.sql" with { type: "text" };

export const migrations: readonly Migration[] = [
  rebuildMigration,
  { name: "gateway", sql: gateway },
  { name: "signing keys that are retired and withdrawn", sql: signingKeys },
  { name: "compact history", sql: compactHistory },
  retentionMigration,
  { name: "orders by age", sql: ordersByAge, additive: true },
];
