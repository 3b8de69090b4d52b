import type { Money, PricedLine, Shortage } from "@distributed-messaging/contracts";
import type { PrivateJwk } from "@distributed-messaging/service/identity/auth";
import { sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Step } from "./domain.ts";

/** The tables that are copies of what others decide, and can be made anew. */
export const copies = ["orders", "order_steps", "products"] as const;

export const orders = sqliteTable("orders", {
  seq: integer("seq").primaryKey({ autoIncrement: true }),
  orderId: text("order_id").notNull(),
  customerId: text("customer_id").notNull(),
  items: text("items", { mode: "json" }).$type<readonly PricedLine[]>().notNull(),
  total: text("total", { mode: "json" }).$type<Money>().notNull(),
  placedAt: integer("placed_at").notNull(),
  generation: integer("generation"),
});

export const orderSteps = sqliteTable("order_steps", {
  seq: integer("seq").primaryKey(),
  orderId: text("order_id").notNull(),
  id: text("message_id").notNull(),
  cause: text("cause_id").notNull(),
  at: integer("at").notNull(),
  type: text("type").$type<Step["type"]>().notNull(),
  service: text("service").notNull(),
  shortages: text("shortages", { mode: "json" }).$type<readonly Shortage[]>(),
  revision: integer("revision"),
  reason: text("reason"),
  generation: integer("generation"),
});

export const idempotencyKeys = sqliteTable("idempotency_keys", {
  customerId: text("customer_id").notNull(),
  key: text("key").notNull(),
  operation: text("operation").$type<Operation>().notNull(),
  content: text("content").notNull(),
  target: text("target").notNull(),
  answer: text("answer").notNull(),
  createdAt: integer("created_at").notNull(),
});

/** What a key may have been given to. */
export type Operation = "place-order" | "cancel-order" | "restock";

export const products = sqliteTable("products", {
  productId: text("product_id").primaryKey(),
  name: text("name").notNull(),
  price: text("price", { mode: "json" }).$type<Money>().notNull(),
  available: integer("available").notNull(),
  version: integer("version").notNull(),
  withdrawn: integer("withdrawn", { mode: "boolean" }).notNull(),
  generation: integer("generation").notNull(),
});

/** The generation that is written now, of `rebuildMigration`. */
export const currentGeneration = sql`(SELECT generation FROM rebuild)`;

export const signingKey = sqliteTable("signing_key", {
  keyId: text("key_id").primaryKey(),
  privateKey: text("private_key", { mode: "json" }).$type<PrivateJwk>().notNull(),
});
