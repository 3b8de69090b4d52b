import type { Money, PricedLine, Shortage } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { count, eq, sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Order } from "./domain.ts";

const orders = sqliteTable("orders", {
  orderId: text("order_id").primaryKey(),
  customerId: text("customer_id").notNull(),
  status: text("status").$type<Order["status"]>().notNull(),
  items: text("items", { mode: "json" }).$type<readonly PricedLine[]>().notNull(),
  total: text("total", { mode: "json" }).$type<Money>().notNull(),
  shortages: text("shortages", { mode: "json" }).$type<readonly Shortage[]>(),
  reason: text("reason"),
  revision: integer("revision"),
  expiresAt: integer("expires_at"),
  placedAt: integer("placed_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
});

/** The orders as this service decides on them. */
export class OrderStore {
  readonly #find;
  readonly #save;
  readonly #countByStatus;

  constructor({ orm }: ServiceDatabase) {
    this.#find = orm
      .select()
      .from(orders)
      .where(eq(orders.orderId, sql.placeholder("orderId")))
      .prepare();
    this.#save = orm
      .insert(orders)
      .values({
        orderId: sql.placeholder("orderId"),
        customerId: sql.placeholder("customerId"),
        status: sql.placeholder("status"),
        items: sql.placeholder("items"),
        total: sql.placeholder("total"),
        // As SQL, so that null stays null: drizzle would make it the JSON text of null.
        shortages: sql`${sql.placeholder("shortages")}`,
        reason: sql.placeholder("reason"),
        revision: sql.placeholder("revision"),
        expiresAt: sql.placeholder("expiresAt"),
        placedAt: sql.placeholder("now"),
        updatedAt: sql.placeholder("now"),
      })
      .onConflictDoUpdate({
        target: orders.orderId,
        set: excluded(orders, "status", "shortages", "reason", "revision", "expiresAt", "updatedAt"),
      })
      .prepare();
    this.#countByStatus = orm
      .select({ count: count() })
      .from(orders)
      .where(eq(orders.status, sql.placeholder("status")))
      .prepare();
  }

  find(orderId: string): Order | undefined {
    const row = this.#find.get({ orderId });
    return row === undefined ? undefined : toOrder(row);
  }

  save(order: Order, { now }: Pick<Transaction, "now">): void {
    this.#save.run({
      ...order,
      shortages: order.status === "backordered" ? JSON.stringify(order.shortages) : null,
      revision: order.status === "backordered" ? order.revision : null,
      expiresAt: order.status === "backordered" ? order.expiresAt : null,
      reason: order.status === "rejected" || order.status === "cancelled" ? order.reason : null,
      now,
    });
  }

  countByStatus(status: Order["status"]): number {
    return this.#countByStatus.get({ status })?.count ?? 0;
  }
}

function toOrder(row: typeof orders.$inferSelect): Order {
  const { orderId, customerId, items, total, status, shortages, revision, expiresAt, reason } = row;
  const details = { orderId, customerId, items, total };
  switch (status) {
    case "backordered":
      // A CHECK of the table: none of these is null.
      return {
        status,
        ...details,
        shortages: shortages ?? [],
        revision: revision ?? 0,
        expiresAt: expiresAt ?? 0,
      };
    case "rejected":
      return { status, ...details, reason: reason ?? "" };
    case "cancelled":
      return { status, ...details, reason: reason === "backorder_expired" ? reason : "customer_request" };
    case "pending":
    case "confirmed":
      return { status, ...details };
    default:
      return status satisfies never;
  }
}
