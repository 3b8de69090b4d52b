import type { ServiceDatabase } from "@distributed-messaging/messaging";
import type { NotificationType } from "./domain.ts";

/** A notification as its customer sees it. */
export interface Notification {
  readonly seq: number;
  readonly notificationId: string;
  readonly orderId: string;
  readonly type: NotificationType;
  readonly message: string;
  readonly at: string;
}
interface NewNotification extends Omit<Notification, "seq"> {
  readonly customerId: string;
}

/** The tables that are projections of other services' events, and can be rebuilt from their topics. */
export const projections = ["notifications"] as const;

/** Customers' notifications. Plain statements: each notification is stored and read once, which is most of the work. */
export class NotificationStore {
  readonly #add;
  readonly #after;

  constructor({ sql }: ServiceDatabase) {
    // Idempotent. During a rebuild, the first message of the new generation overwrites the row.
    this.#add = sql.prepare<null, [string, string, string, string, string, string]>(
      `INSERT INTO notifications (notification_id, customer_id, order_id, type, message, at, generation)
       VALUES (?, ?, ?, ?, ?, ?, (SELECT generation FROM rebuild))
       ON CONFLICT (notification_id) DO UPDATE SET
         customer_id = excluded.customer_id, order_id = excluded.order_id, type = excluded.type,
         message = excluded.message, at = excluded.at, generation = excluded.generation
       WHERE notifications.generation < excluded.generation`,
    );
    this.#after = sql.prepare<Notification, [string, number, number]>(
      `SELECT seq, notification_id AS notificationId, order_id AS orderId, type, message, at FROM notifications
       WHERE customer_id = ? AND seq > ? ORDER BY seq LIMIT ?`,
    );
  }

  add({ notificationId, customerId, orderId, type, message, at }: NewNotification): void {
    this.#add.run(notificationId, customerId, orderId, type, message, at);
  }

  /** A customer's notifications with a higher number than `after`, oldest first. */
  after(customerId: string, after: number, limit: number): Notification[] {
    return this.#after.all(customerId, after, limit);
  }
}
