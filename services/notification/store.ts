import { idOf, type ServiceDatabase, type StoredId, storedId } from "@distributed-messaging/messaging";
import type { Kept } from "@distributed-messaging/service/retention";
import { advanced, broughtTo, type Cursor, cursorText, type Offsets, parseAfter } from "./cursor.ts";
import type { NotificationType } from "./domain.ts";

/** A notification as its customer sees it. */
export interface Notification {
  /** At this instance. */
  readonly seq: number;
  readonly notificationId: string;
  readonly orderId: string;
  readonly type: NotificationType;
  readonly message: string;
  readonly at: string;
  /** From which a client reads on, at any instance. */
  readonly cursor: string;
}
interface NewNotification extends Omit<Notification, "seq" | "cursor"> {
  readonly customerId: string;
  /** Where its event is. */
  readonly partition: number;
  readonly offset: number;
}

type Row = Omit<Notification, "notificationId" | "at" | "cursor"> & {
  readonly notificationId: StoredId;
  readonly at: string | number;
  readonly partition: number | null;
  readonly offset: number | null;
};

/** The tables that are projections of other services' events, and can be rebuilt from their topics. */
export const projections = ["notifications"] as const;

/** Customers' notifications. Plain statements: each notification is stored and read once, which is most of the work. */
export class NotificationStore {
  readonly #sql: ServiceDatabase["sql"];
  readonly #add;
  readonly #after;
  readonly #offsets;
  /** Of the numbers. */
  readonly #database: string;
  readonly #first;
  readonly #newest;
  readonly #remove;
  readonly #clock;
  /** Older ones are not stored any more: a rebuild reads events whose notifications were deleted. */
  #keepFrom = Number.NEGATIVE_INFINITY;

  /** @param instance its name, if it is one of several: a copy of the database under another name has other numbers */
  constructor({ sql }: ServiceDatabase, instance = "") {
    this.#sql = sql;
    const made = sql.query<{ database: string }, []>("SELECT database FROM cursors").get();
    this.#database = `${made?.database ?? ""}${instance}`;
    this.#first = sql.prepare<{ seq: number; at: string | number }, [number]>(
      "SELECT seq, at FROM notifications ORDER BY seq LIMIT ?",
    );
    this.#newest = sql.prepare<{ at: string | number }, []>(
      "SELECT at FROM notifications ORDER BY seq DESC LIMIT 1",
    );
    this.#remove = sql.prepare<null, [number]>("DELETE FROM notifications WHERE seq <= ?");
    this.#clock = sql.prepare<{ time: number }, []>("SELECT time FROM retention_clock");
    // Idempotent. During a rebuild, the first message of the new generation overwrites the row.
    this.#add = sql.prepare<
      null,
      [StoredId, string, string, string, string, string | number, number, number]
    >(
      `INSERT INTO notifications (notification_id, customer_id, order_id, type, message, at, partition, "offset", generation)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT generation FROM rebuild))
       ON CONFLICT (notification_id) DO UPDATE SET
         customer_id = excluded.customer_id, order_id = excluded.order_id, type = excluded.type,
         message = excluded.message, at = excluded.at, partition = excluded.partition, "offset" = excluded."offset",
         generation = excluded.generation
       WHERE notifications.generation < excluded.generation`,
    );
    // `+?`, the same value: of a plain one beside an ORDER BY, SQLite prepares the statement anew whenever one is bound.
    this.#after = sql.prepare<Row, [string, number, number]>(
      `SELECT seq, notification_id AS notificationId, order_id AS orderId, type, message, at, partition, "offset"
       FROM notifications WHERE customer_id = +? AND seq > +? ORDER BY seq LIMIT ?`,
    );
    this.#offsets = sql.prepare<{ partition: number; offset: number }, [string, number]>(
      `SELECT partition, max("offset") AS "offset" FROM notifications
       WHERE customer_id = ? AND seq <= ? AND partition IS NOT NULL GROUP BY partition`,
    );
  }

  /** After a recovery the numbers are others than in the lost database: cursors of that are those of another instance. */
  renewCursors(): void {
    this.#sql.run("UPDATE cursors SET database = lower(hex(randomblob(6)))");
  }

  add({ notificationId, customerId, orderId, type, message, at, ...event }: NewNotification): void {
    if (Date.parse(at) < this.#keepFrom) return;
    const { partition, offset } = event;
    const id = storedId(notificationId);
    this.#add.run(id, customerId, orderId, type, message, storedTime(at), partition, offset);
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

  /**
   * A customer's notifications that a client does not have, in the order in which they were stored.
   *
   * @param after the number of the last one that it has, or the cursor of that, of any instance
   */
  after(customerId: string, after: string, limit: number): Notification[] {
    const notifications: Notification[] = [];
    let cursor = this.#cursorAt(customerId, after);
    let rows: Row[];
    do {
      rows = this.#after.all(customerId, cursor.seq, limit - notifications.length);
      for (const { partition, offset, ...row } of rows) {
        cursor = advanced(cursor, row.seq, partition, offset);
        if (isAmong(cursor.brought, partition, offset)) continue;
        notifications.push({
          ...row,
          notificationId: idOf(row.notificationId),
          at: typeof row.at === "number" ? new Date(row.at).toISOString() : row.at,
          cursor: cursorText(cursor),
        });
      }
    } while (rows.length > 0 && notifications.length < limit);
    return notifications;
  }

  /** What `after` means in this database. */
  #cursorAt(customerId: string, after: string): Cursor {
    const database = this.#database;
    const given = parseAfter(after) ?? 0;
    if (typeof given === "object") return given.database === database ? given : broughtTo(database, given);
    const rows = given === 0 ? [] : this.#offsets.all(customerId, given);
    const offsets = new Map(rows.map(({ partition, offset }) => [partition, offset]));
    return { database, seq: given, offsets, brought: new Map() };
  }
}

function isAmong(offsets: Offsets, partition: number | null, offset: number | null): boolean {
  return partition !== null && offset !== null && offset <= (offsets.get(partition) ?? -1);
}

/** A time as a number, if it is the same again when it is read. */
function storedTime(at: string): string | number {
  const ms = Date.parse(at);
  return new Date(ms).toISOString() === at ? ms : at;
}
