import type { OrderPlaced } from "@distributed-messaging/contracts";
import type { DataOf, ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { and, desc, eq, lt, sql } from "drizzle-orm";
import { type OrderView, type PlacedOrder, type Step, viewOf } from "./domain.ts";
import { type HistoryEntry, historyOf } from "./history.ts";
import { IdempotencyKeys } from "./idempotency.ts";
import { currentGeneration, orderSteps, orders } from "./tables.ts";

/** An order as its customer sees it, with all that happened to it. */
export type OrderWithHistory = OrderView & { readonly history: readonly HistoryEntry[] };

/** The gateway's own copy of the orders. Writing takes the transaction that it happens in. */
export class OrderViews {
  /** Which requests have been accepted. */
  readonly keys: IdempotencyKeys;
  readonly #statements;

  /** @param keyRetentionMs for how long an Idempotency-Key is good, at least; in milliseconds */
  constructor(database: ServiceDatabase, keyRetentionMs?: number) {
    this.keys = new IdempotencyKeys(database, keyRetentionMs);
    this.#statements = prepare(database);
  }

  /** What never changes about an order. */
  placed(orderId: string): PlacedOrder | undefined {
    const row = this.#statements.order.get({ orderId });
    return row === undefined ? undefined : toPlaced(row);
  }

  find(orderId: string): OrderView | undefined {
    const order = this.placed(orderId);
    return order === undefined ? undefined : viewOf(order, this.steps(orderId));
  }

  /**
   * A customer's orders, newest first.
   *
   * @param after the last order of the page before; one that is not theirs gives nothing
   */
  page(customerId: string, limit: number, after: string | undefined): OrderWithHistory[] {
    const before =
      after === undefined
        ? Number.MAX_SAFE_INTEGER
        : (this.#statements.seqOf.get({ orderId: after, customerId })?.seq ?? 0);
    return this.#statements.page
      .all({ customerId, before, limit })
      .map((row) => this.withHistory(toPlaced(row)));
  }

  withHistory(order: PlacedOrder): OrderWithHistory {
    const steps = this.steps(order.orderId);
    return { ...viewOf(order, steps), history: historyOf(steps) };
  }

  history(orderId: string): HistoryEntry[] {
    return historyOf(this.steps(orderId));
  }

  steps(orderId: string): Step[] {
    return this.#statements.steps.all({ orderId }).map(toStep);
  }

  /** Writes down an order that this gateway accepts, and the command that it sends for it. */
  accept(order: PlacedOrder, step: Step, transaction: Transaction): void {
    this.#statements.accept.run({ ...order });
    this.addOwnStep(order.orderId, step, transaction);
  }

  /** Writes down a command that this gateway sends: nobody else can tell of it. */
  addOwnStep(orderId: string, step: Step, _transaction: Transaction): void {
    this.#statements.addOwnStep.run(valuesOf(orderId, step));
  }

  /** Learns of an order from the order service; one that this gateway has accepted, it knows already. */
  learn(order: DataOf<typeof OrderPlaced>, placedAt: number, _transaction: Transaction): void {
    this.#statements.learn.run({ ...order, placedAt });
  }

  /** Learns of a step of an order; told again, it changes nothing. */
  learnStep(orderId: string, step: Step, _transaction: Transaction): void {
    this.#statements.learnStep.run(valuesOf(orderId, step));
  }
}

function valuesOf(orderId: string, step: Step) {
  return {
    ...step,
    orderId,
    shortages: "shortages" in step ? JSON.stringify(step.shortages) : null,
    revision: "revision" in step ? step.revision : null,
    reason: "reason" in step ? step.reason : null,
  };
}

function toPlaced(row: typeof orders.$inferSelect): PlacedOrder {
  const { orderId, customerId, items, total, placedAt } = row;
  return { orderId, customerId, items, total, placedAt };
}

/** Sound: a row is what `valuesOf` made of a step. */
function toStep(row: typeof orderSteps.$inferSelect): Step {
  const { id, cause, at, service, type, shortages, revision, reason } = row;
  return {
    ...{ id, cause, at, service, type },
    ...(shortages === null ? {} : { shortages }),
    ...(revision === null ? {} : { revision }),
    ...(reason === null ? {} : { reason }),
  } as Step;
}

function prepare({ orm }: ServiceDatabase) {
  const orderId = sql.placeholder("orderId");
  const customerId = sql.placeholder("customerId");
  const order = {
    orderId,
    customerId,
    items: sql.placeholder("items"),
    total: sql.placeholder("total"),
    placedAt: sql.placeholder("placedAt"),
  };
  const step = {
    orderId,
    id: sql.placeholder("id"),
    cause: sql.placeholder("cause"),
    at: sql.placeholder("at"),
    type: sql.placeholder("type"),
    service: sql.placeholder("service"),
    // As SQL, so that null stays null: drizzle would make it the JSON text of null.
    shortages: sql`${sql.placeholder("shortages")}`,
    revision: sql.placeholder("revision"),
    reason: sql.placeholder("reason"),
  };
  return {
    order: orm.select().from(orders).where(eq(orders.orderId, orderId)).prepare(),
    seqOf: orm
      .select({ seq: orders.seq })
      .from(orders)
      .where(and(eq(orders.orderId, orderId), eq(orders.customerId, customerId)))
      .prepare(),
    page: orm
      .select()
      .from(orders)
      .where(and(eq(orders.customerId, customerId), lt(orders.seq, sql.placeholder("before"))))
      .orderBy(desc(orders.seq))
      .limit(sql.placeholder("limit"))
      .prepare(),
    steps: orm.select().from(orderSteps).where(eq(orderSteps.orderId, orderId)).prepare(),
    accept: orm.insert(orders).values(order).prepare(),
    addOwnStep: orm.insert(orderSteps).values(step).prepare(),
    // A copy is overwritten when it is made anew: by the first message of the new generation that tells of it.
    learn: orm
      .insert(orders)
      .values({ ...order, generation: currentGeneration })
      .onConflictDoUpdate({
        target: orders.orderId,
        set: excluded(orders, "customerId", "items", "total", "placedAt", "generation"),
        setWhere: sql`orders.generation < excluded.generation`,
      })
      .prepare(),
    learnStep: orm
      .insert(orderSteps)
      .values({ ...step, generation: currentGeneration })
      .onConflictDoUpdate({
        target: [orderSteps.orderId, orderSteps.id],
        set: excluded(
          orderSteps,
          "cause",
          "at",
          "type",
          "service",
          "shortages",
          "revision",
          "reason",
          "generation",
        ),
        setWhere: sql`order_steps.generation < excluded.generation`,
      })
      .prepare(),
  };
}
