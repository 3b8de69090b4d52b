import type { Money, PricedLine, Shortage } from "@distributed-messaging/contracts";
import type { PrivateJwk } from "@distributed-messaging/service/auth";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { OrderView } from "./domain.ts";

export const orders = sqliteTable("orders", {
  seq: integer("seq").primaryKey({ autoIncrement: true }),
  orderId: text("order_id").notNull(),
  customerId: text("customer_id").notNull(),
  status: text("status").$type<OrderView["status"]>().notNull(),
  items: text("items", { mode: "json" }).$type<readonly PricedLine[]>().notNull(),
  total: text("total", { mode: "json" }).$type<Money>().notNull(),
  shortages: text("shortages", { mode: "json" }).$type<readonly Shortage[]>(),
  reason: text("reason"),
  placedAt: integer("placed_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
});

export const orderHistory = sqliteTable("order_history", {
  seq: integer("seq").primaryKey(),
  orderId: text("order_id").notNull(),
  at: integer("at").notNull(),
  type: text("type").notNull(),
  service: text("service").notNull(),
});

export const idempotencyKeys = sqliteTable("idempotency_keys", {
  customerId: text("customer_id").notNull(),
  key: text("key").notNull(),
  orderId: text("order_id").notNull(),
  createdAt: integer("created_at").notNull(),
});

export const products = sqliteTable("products", {
  productId: text("product_id").primaryKey(),
  name: text("name").notNull(),
  price: text("price", { mode: "json" }).$type<Money>().notNull(),
  available: integer("available").notNull(),
  version: integer("version").notNull(),
  withdrawn: integer("withdrawn", { mode: "boolean" }).notNull(),
});

export const signingKey = sqliteTable("signing_key", {
  keyId: text("key_id").primaryKey(),
  privateKey: text("private_key", { mode: "json" }).$type<PrivateJwk>().notNull(),
});
