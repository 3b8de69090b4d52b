import type { Line, Money, Shortage } from "@distributed-messaging/contracts";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Reservation } from "./books.ts";

export const products = sqliteTable("products", {
  productId: text("product_id").primaryKey(),
  name: text("name").notNull(),
  price: text("price", { mode: "json" }).$type<Money>().notNull(),
  onHand: integer("on_hand").notNull(),
  reserved: integer("reserved").notNull(),
  version: integer("version").notNull(),
});

export const reservations = sqliteTable("reservations", {
  arrival: integer("arrival").primaryKey({ autoIncrement: true }),
  orderId: text("order_id").notNull(),
  status: text("status").$type<Reservation["status"]>().notNull(),
  lines: text("lines", { mode: "json" }).$type<readonly Line[]>().notNull(),
  shortages: text("shortages", { mode: "json" }).$type<readonly Shortage[]>(),
  revision: integer("revision"),
  laneId: integer("lane_id"),
});

export const restockings = sqliteTable("restockings", {
  restockId: text("restock_id").primaryKey(),
  productId: text("product_id").notNull(),
  quantity: integer("quantity").notNull(),
  at: integer("at").notNull(),
});

export const productVersions = sqliteTable("product_versions", {
  singleton: integer("singleton").primaryKey(),
  last: integer("last").notNull(),
});
