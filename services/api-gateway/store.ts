import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { and, desc, eq, lt, sql } from "drizzle-orm";
import type { OrderView } from "./domain.ts";
import { idempotencyKeys, orderHistory, orders } from "./tables.ts";

type OrderRow = typeof orders.$inferSelect;

/** A view of an order, and when it came to be so. Times in milliseconds since the epoch. */
export type StoredOrder = OrderView & { readonly placedAt: number; readonly updatedAt: number };

export interface Step {
  readonly at: number;
  readonly type: string;
  readonly service: string;
}

/** The gateway's own copy of the orders. Writing takes the transaction that it happens in. */
export class OrderViews {
  readonly #find;
  readonly #seqOf;
  readonly #page;
  readonly #save;
  readonly #history;
  readonly #addStep;
  readonly #keyed;
  readonly #rememberKey;

  constructor({ orm }: ServiceDatabase) {
    const orderId = sql.placeholder("orderId");
    const customerId = sql.placeholder("customerId");
    this.#find = orm.select().from(orders).where(eq(orders.orderId, orderId)).prepare();
    this.#seqOf = orm
      .select({ seq: orders.seq })
      .from(orders)
      .where(and(eq(orders.orderId, orderId), eq(orders.customerId, customerId)))
      .prepare();
    this.#page = orm
      .select()
      .from(orders)
      .where(and(eq(orders.customerId, customerId), lt(orders.seq, sql.placeholder("before"))))
      .orderBy(desc(orders.seq))
      .limit(sql.placeholder("limit"))
      .prepare();
    this.#save = orm
      .insert(orders)
      .values({
        orderId,
        customerId,
        status: sql.placeholder("status"),
        items: sql.placeholder("items"),
        total: sql.placeholder("total"),
        shortages: sql.placeholder("shortages"),
        reason: sql.placeholder("reason"),
        placedAt: sql.placeholder("at"),
        updatedAt: sql.placeholder("at"),
      })
      .onConflictDoUpdate({
        target: orders.orderId,
        set: {
          status: sql`excluded.status`,
          shortages: sql`excluded.shortages`,
          reason: sql`excluded.reason`,
          updatedAt: sql`max(updated_at, excluded.updated_at)`,
        },
      })
      .prepare();
    this.#history = orm
      .select({ at: orderHistory.at, type: orderHistory.type, service: orderHistory.service })
      .from(orderHistory)
      .where(eq(orderHistory.orderId, orderId))
      .orderBy(orderHistory.seq)
      .prepare();
    this.#addStep = orm
      .insert(orderHistory)
      .values({
        orderId,
        at: sql.placeholder("at"),
        type: sql.placeholder("type"),
        service: sql.placeholder("service"),
      })
      .prepare();
    const key = sql.placeholder("key");
    this.#keyed = orm
      .select({ orderId: idempotencyKeys.orderId })
      .from(idempotencyKeys)
      .where(and(eq(idempotencyKeys.customerId, customerId), eq(idempotencyKeys.key, key)))
      .prepare();
    this.#rememberKey = orm
      .insert(idempotencyKeys)
      .values({ customerId, key, orderId, createdAt: sql.placeholder("createdAt") })
      .prepare();
  }

  find(orderId: string): StoredOrder | undefined {
    const row = this.#find.get({ orderId });
    return row === undefined ? undefined : toView(row);
  }

  /**
   * A customer's orders, newest first.
   *
   * @param after the last order of the page before; one that is not theirs gives nothing
   */
  page(customerId: string, limit: number, after: string | undefined): StoredOrder[] {
    const before =
      after === undefined
        ? Number.MAX_SAFE_INTEGER
        : (this.#seqOf.get({ orderId: after, customerId })?.seq ?? 0);
    return this.#page.all({ customerId, before, limit }).map(toView);
  }

  /** Saves a view and the step that led to it. */
  save(view: OrderView, step: Step, _transaction: Transaction): void {
    const { shortages = null, reason = null, ...order } = view;
    this.#save.run({ ...order, shortages, reason, at: step.at });
    this.#addStep.run({ orderId: view.orderId, ...step });
  }

  history(orderId: string): Step[] {
    return this.#history.all({ orderId });
  }

  /** The order that a customer's request with this key made. */
  keyed(customerId: string, key: string): string | undefined {
    return this.#keyed.get({ customerId, key })?.orderId;
  }

  rememberKey(customerId: string, key: string, orderId: string, { now }: Transaction): void {
    this.#rememberKey.run({ customerId, key, orderId, createdAt: now });
  }
}

function toView({ seq: _, shortages, reason, ...order }: OrderRow): StoredOrder {
  return {
    ...order,
    ...(shortages === null ? {} : { shortages }),
    ...(reason === null ? {} : { reason }),
  };
}
