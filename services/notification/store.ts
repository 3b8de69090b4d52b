import type { ServiceDatabase } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { and, eq, gt, sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { NotificationType } from "./domain.ts";

const notifications = sqliteTable("notifications", {
  seq: integer("seq").primaryKey({ autoIncrement: true }),
  notificationId: text("notification_id").notNull(),
  customerId: text("customer_id").notNull(),
  orderId: text("order_id").notNull(),
  type: text("type").$type<NotificationType>().notNull(),
  message: text("message").notNull(),
  at: text("at").notNull(),
  generation: integer("generation").notNull(),
});

/** A notification as its customer sees it. */
export type Notification = Omit<typeof notifications.$inferSelect, "customerId" | "generation">;
type NewNotification = Omit<typeof notifications.$inferSelect, "seq" | "generation">;

/** The tables that are projections of other services' events, and can be rebuilt from their topics. */
export const projections = ["notifications"] as const;

/** Customers' notifications. */
export class NotificationStore {
  readonly #add;
  readonly #after;

  constructor({ orm }: ServiceDatabase) {
    this.#add = orm
      .insert(notifications)
      .values({
        notificationId: sql.placeholder("notificationId"),
        customerId: sql.placeholder("customerId"),
        orderId: sql.placeholder("orderId"),
        type: sql.placeholder("type"),
        message: sql.placeholder("message"),
        at: sql.placeholder("at"),
        generation: sql`(SELECT generation FROM rebuild)`,
      })
      // Idempotent. During a rebuild, the first message of the new generation overwrites the row.
      .onConflictDoUpdate({
        target: notifications.notificationId,
        set: excluded(notifications, "customerId", "orderId", "type", "message", "at", "generation"),
        setWhere: sql`notifications.generation < excluded.generation`,
      })
      .prepare();
    const shown = {
      seq: notifications.seq,
      notificationId: notifications.notificationId,
      orderId: notifications.orderId,
      type: notifications.type,
      message: notifications.message,
      at: notifications.at,
    };
    this.#after = orm
      .select(shown)
      .from(notifications)
      .where(
        and(
          eq(notifications.customerId, sql.placeholder("customerId")),
          gt(notifications.seq, sql.placeholder("after")),
        ),
      )
      .orderBy(notifications.seq)
      .limit(sql.placeholder("limit"))
      .prepare();
  }

  add(notification: NewNotification): void {
    this.#add.run(notification);
  }

  /** A customer's notifications with a higher number than `after`, oldest first. */
  after(customerId: string, after: number, limit: number): Notification[] {
    return this.#after.all({ customerId, after, limit });
  }
}
