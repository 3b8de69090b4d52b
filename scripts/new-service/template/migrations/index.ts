import type { Migration } from "@distributed-messaging/messaging";
import templateTables from "./0001-template.sql" with { type: "text" };

/** Applied in this order. A released migration is never changed: a change of the schema is a new migration. */
export const migrations: readonly Migration[] = [{ name: "template", sql: templateTables }];
