import type { Money, PricedLine, Shortage } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
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
  placedAt: integer("placed_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
});

/** The orders as this service decides on them. Writing takes the transaction that it happens in. */
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
        shortages: sql.placeholder("shortages"),
        reason: sql.placeholder("reason"),
        placedAt: sql.placeholder("now"),
        updatedAt: sql.placeholder("now"),
      })
      .onConflictDoUpdate({
        target: orders.orderId,
        set: {
          status: sql`excluded.status`,
          shortages: sql`excluded.shortages`,
          reason: sql`excluded.reason`,
          updatedAt: sql`excluded.updated_at`,
        },
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

  save(order: Order, { now }: Transaction): void {
    this.#save.run({
      ...order,
      shortages: order.status === "backordered" ? order.shortages : null,
      reason: order.status === "rejected" ? order.reason : null,
      now,
    });
  }

  countByStatus(status: Order["status"]): number {
    return this.#countByStatus.get({ status })?.count ?? 0;
  }
}

function toOrder(row: typeof orders.$inferSelect): Order {
  const { orderId, customerId, items, total } = row;
  const details = { orderId, customerId, items, total };
  switch (row.status) {
    case "backordered":
      return { status: row.status, ...details, shortages: row.shortages ?? [] };
    case "rejected":
      return { status: row.status, ...details, reason: row.reason ?? "" };
    case "pending":
    case "confirmed":
      return { status: row.status, ...details };
    default:
      return row.status satisfies never;
  }
}
