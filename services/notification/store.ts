import { idOf, type ServiceDatabase, type StoredId, storedId } from "@distributed-messaging/messaging";
import type { Kept } from "@distributed-messaging/service/retention";
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

type Row = Omit<Notification, "notificationId" | "at"> & {
  readonly notificationId: StoredId;
  readonly at: string | number;
};

/** The tables that are projections of other services' events, and can be rebuilt from their topics. */
export const projections = ["notifications"] as const;

/** Customers' notifications. Plain statements: each notification is stored and read once, which is most of the work. */
export class NotificationStore {
  readonly #add;
  readonly #after;
  readonly #first;
  readonly #newest;
  readonly #remove;
  readonly #clock;
  /** Older ones are not stored any more: a rebuild reads events whose notifications were deleted. */
  #keepFrom = Number.NEGATIVE_INFINITY;

  constructor({ sql }: ServiceDatabase) {
    this.#first = sql.prepare<{ seq: number; at: string | number }, [number]>(
      "SELECT seq, at FROM notifications ORDER BY seq LIMIT ?",
    );
    this.#newest = sql.prepare<{ at: string | number }, []>(
      "SELECT at FROM notifications ORDER BY seq DESC LIMIT 1",
    );
    this.#remove = sql.prepare<null, [number]>("DELETE FROM notifications WHERE seq <= ?");
    this.#clock = sql.prepare<{ time: number }, []>("SELECT time FROM retention_clock");
    // Idempotent. During a rebuild, the first message of the new generation overwrites the row.
    this.#add = sql.prepare<null, [StoredId, string, string, string, string, string | number]>(
      `INSERT INTO notifications (notification_id, customer_id, order_id, type, message, at, generation)
       VALUES (?, ?, ?, ?, ?, ?, (SELECT generation FROM rebuild))
       ON CONFLICT (notification_id) DO UPDATE SET
         customer_id = excluded.customer_id, order_id = excluded.order_id, type = excluded.type,
         message = excluded.message, at = excluded.at, generation = excluded.generation
       WHERE notifications.generation < excluded.generation`,
    );
    // `+?`, the same value: of a plain one beside an ORDER BY, SQLite prepares the statement anew whenever one is bound.
    this.#after = sql.prepare<Row, [string, number, number]>(
      `SELECT seq, notification_id AS notificationId, order_id AS orderId, type, message, at FROM notifications
       WHERE customer_id = +? AND seq > +? ORDER BY seq LIMIT ?`,
    );
  }

  add({ notificationId, customerId, orderId, type, message, at }: NewNotification): void {
    if (Date.parse(at) < this.#keepFrom) return;
    this.#add.run(storedId(notificationId), customerId, orderId, type, message, storedTime(at));
  }

  /** Deletes old notifications, from the first one on up to one that is not old. @param keepMs NOTIFICATION_RETENTION */
  keptFor(keepMs: number): Kept {
    this.#keepFrom = (this.#clock.get()?.time ?? Number.NEGATIVE_INFINITY) - keepMs;
    return {
      keepMs,
      newest: () => {
        const newest = this.#newest.get();
        return newest === null ? undefined : new Date(newest.at).getTime() || undefined;
      },
      remove: (before, limit) => {
        this.#keepFrom = before;
        const first = this.#first.all(limit);
        const young = first.findIndex(({ at }) => new Date(at).getTime() >= before);
        const old = young === -1 ? first : first.slice(0, young);
        const last = old.at(-1);
        if (last !== undefined) this.#remove.run(last.seq);
        return old.length === limit;
      },
    };
  }

  /** A customer's notifications with a higher number than `after`, oldest first. */
  after(customerId: string, after: number, limit: number): Notification[] {
    return this.#after.all(customerId, after, limit).map((row) => ({
      ...row,
      notificationId: idOf(row.notificationId),
      at: typeof row.at === "number" ? new Date(row.at).toISOString() : row.at,
    }));
  }
}

/** A time as a number, if it is the same again when it is read. */
function storedTime(at: string): string | number {
  const ms = Date.parse(at);
  return new Date(ms).toISOString() === at ? ms : at;
}
