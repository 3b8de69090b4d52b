import {
  type Money,
  type OrderPlaced,
  orderIdOf,
  type PricedLine,
  type ProductWithdrawn,
  type Shortage,
  type StockChanged,
} from "@distributed-messaging/contracts";
import type { DataOf, ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { and, desc, eq, lt, sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import {
  type AcceptedRequest,
  type CatalogueEntry,
  type ClientRequest,
  contentOf,
  type HistoryEntry,
  type OrderView,
  type PlacedOrder,
  type RequestState,
  type Status,
  viewOf,
} from "./domain.ts";

/** The tables that are projections of other services' events, and can be rebuilt from their topics. */
export const projections = ["orders", "order_steps", "products"] as const;

const orders = sqliteTable("orders", {
  seq: integer("seq").primaryKey({ autoIncrement: true }),
  orderId: text("order_id").notNull(),
  customerId: text("customer_id").notNull(),
  items: text("items", { mode: "json" }).$type<readonly PricedLine[]>().notNull(),
  total: text("total", { mode: "json" }).$type<Money>().notNull(),
  placedAt: integer("placed_at").notNull(),
  generation: integer("generation"),
});

const historyEntries = sqliteTable("order_steps", {
  seq: integer("seq").primaryKey(),
  orderId: text("order_id").notNull(),
  id: text("message_id").notNull(),
  cause: text("cause_id").notNull(),
  at: integer("at").notNull(),
  type: text("type").$type<HistoryEntry["type"]>().notNull(),
  service: text("service").notNull(),
  shortages: text("shortages", { mode: "json" }).$type<readonly Shortage[]>(),
  revision: integer("revision"),
  reason: text("reason"),
  generation: integer("generation"),
});

const products = sqliteTable("products", {
  productId: text("product_id").primaryKey(),
  name: text("name").notNull(),
  price: text("price", { mode: "json" }).$type<Money>().notNull(),
  available: integer("available").notNull(),
  version: integer("version").notNull(),
  withdrawn: integer("withdrawn", { mode: "boolean" }).notNull(),
  generation: integer("generation").notNull(),
});

const acceptedRequests = sqliteTable("idempotency_keys", {
  customerId: text("customer_id").notNull(),
  key: text("key").notNull(),
  operation: text("operation").$type<AcceptedRequest["operation"]>().notNull(),
  content: text("content").notNull(),
  target: text("target").notNull(),
  status: text("answer").$type<Status | "">().notNull(),
  createdAt: integer("created_at").notNull(),
});

/** The generation of `rebuildMigration` that is written now. */
const currentGeneration = sql`(SELECT generation FROM rebuild)`;

const DAY_MS = 24 * 60 * 60 * 1000;
/** Each new key deletes so many expired ones, so the table shrinks while there is traffic. */
const PRUNED_PER_KEY = 2;

/** The gateway's projections of orders and products, and the requests that it has accepted. */
export class GatewayStore {
  readonly #keyRetentionMs: number;
  readonly #statements;

  /** @param keyRetentionMs for how long an Idempotency-Key is valid, at least; in milliseconds */
  constructor(database: ServiceDatabase, keyRetentionMs = 7 * DAY_MS) {
    this.#keyRetentionMs = keyRetentionMs;
    this.#statements = prepare(database);
  }

  order(orderId: string): OrderView | undefined {
    const row = this.#statements.order.get({ orderId });
    return row === undefined ? undefined : this.#view(row);
  }

  /**
   * A customer's order by their own name for it. One that was placed when names were ids has its name for an id, and an
   * id is found, too: it is how an order with a very long name is shown.
   */
  orderNamed(customerId: string, name: string): OrderView | undefined {
    for (const orderId of [orderIdOf(customerId, name), name]) {
      const order = this.order(orderId);
      if (order?.customerId === customerId) return order;
    }
    return undefined;
  }

  hasOrder(orderId: string): boolean {
    return this.#statements.order.get({ orderId }) !== undefined;
  }

  /**
   * A customer's orders, newest first.
   *
   * @param after the name of the last order of the previous page; one that the customer does not have gives nothing
   */
  page(customerId: string, limit: number, after: string | undefined): OrderView[] {
    const orderId = after === undefined ? undefined : this.orderNamed(customerId, after)?.orderId;
    if (after !== undefined && orderId === undefined) return [];
    const before =
      orderId === undefined ? Number.MAX_SAFE_INTEGER : (this.#statements.seqOf.get({ orderId })?.seq ?? 0);
    return this.#statements.page.all({ customerId, before, limit }).map((row) => this.#view(row));
  }

  /** Stores an order that this gateway accepts. */
  acceptOrder(order: PlacedOrder): void {
    this.#statements.acceptOrder.run({ ...order });
  }

  /** Stores a command that this gateway emits: no rebuild could bring it back. */
  addOwnEntry(orderId: string, entry: HistoryEntry): void {
    this.#statements.addOwnEntry.run(valuesOf(orderId, entry));
  }

  /** Applies an order of the order service; one that this gateway has accepted does not change. */
  applyOrder(order: DataOf<typeof OrderPlaced>, placedAt: number): void {
    this.#statements.applyOrder.run({ ...order, placedAt });
  }

  /** Applies a message about an order. Idempotent. */
  applyEntry(orderId: string, entry: HistoryEntry): void {
    this.#statements.applyEntry.run(valuesOf(orderId, entry));
  }

  /** What is sold. */
  products(): CatalogueEntry[] {
    return this.#statements.products.all();
  }

  /** Undefined when it is not sold. */
  product(productId: string): CatalogueEntry | undefined {
    return this.#statements.product.get({ productId });
  }

  /** A state older than the stored one changes nothing. */
  applyProduct(product: DataOf<typeof StockChanged>): void {
    this.#statements.applyProduct.run(product);
  }

  applyWithdrawal(product: DataOf<typeof ProductWithdrawn>): void {
    this.#statements.applyWithdrawal.run(product);
  }

  /** What the decision on a request depends on. */
  stateFor(request: ClientRequest): RequestState {
    const { customerId, key } = request;
    const name = request.operation === "restock" ? undefined : request.name;
    const named =
      request.operation === "place-order" ? request.items : request.operation === "restock" ? [request] : [];
    const sold = named.flatMap(({ productId }) => this.product(productId) ?? []);
    return {
      earlier: key === undefined ? undefined : this.#accepted(customerId, key),
      order: name === undefined ? undefined : this.orderNamed(customerId, name),
      products: new Map(sold.map((product) => [product.productId, product])),
    };
  }

  /**
   * Stores what was accepted under a request's key, if it has one; only after `stateFor` found nothing under it, in
   * the same transaction. A key is valid for the retention at least; after that, the same request is a new one.
   */
  remember(
    request: ClientRequest,
    { target, status }: AcceptedRequest,
    { now }: Pick<Transaction, "now">,
  ): void {
    const { customerId, key, operation } = request;
    if (key === undefined) return;
    this.#statements.pruneKeys.run({ before: now - this.#keyRetentionMs });
    const accepted = { operation, content: contentOf(request), target, status: status ?? "" };
    this.#statements.addKey.run({ customerId, key, ...accepted, now });
  }

  #accepted(customerId: string, key: string): AcceptedRequest | undefined {
    const row = this.#statements.key.get({ customerId, key });
    if (row === undefined) return undefined;
    const { operation, content, target, status } = row;
    return { operation, content, target, status: status === "" ? undefined : status };
  }

  #view({ orderId, customerId, items, total, placedAt }: typeof orders.$inferSelect): OrderView {
    const entries = this.#statements.entries.all({ orderId }).map(toEntry);
    return viewOf({ orderId, customerId, items, total, placedAt }, entries);
  }
}

function valuesOf(orderId: string, entry: HistoryEntry) {
  return {
    ...entry,
    orderId,
    shortages: "shortages" in entry ? JSON.stringify(entry.shortages) : null,
    revision: "revision" in entry ? entry.revision : null,
    reason: "reason" in entry ? entry.reason : null,
  };
}

/** Sound: a row is what `valuesOf` made of an entry. */
function toEntry(row: typeof historyEntries.$inferSelect): HistoryEntry {
  const { id, cause, at, service, type, shortages, revision, reason } = row;
  return {
    ...{ id, cause, at, service, type },
    ...(shortages === null ? {} : { shortages }),
    ...(revision === null ? {} : { revision }),
    ...(reason === null ? {} : { reason }),
  } as HistoryEntry;
}

function prepare(database: ServiceDatabase) {
  return { ...prepareOrders(database), ...prepareProducts(database), ...prepareKeys(database) };
}

function prepareOrders({ orm }: ServiceDatabase) {
  const orderId = sql.placeholder("orderId");
  const customerId = sql.placeholder("customerId");
  const order = {
    orderId,
    customerId,
    items: sql.placeholder("items"),
    total: sql.placeholder("total"),
    placedAt: sql.placeholder("placedAt"),
  };
  const entry = {
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
    seqOf: orm.select({ seq: orders.seq }).from(orders).where(eq(orders.orderId, orderId)).prepare(),
    page: orm
      .select()
      .from(orders)
      .where(and(eq(orders.customerId, customerId), lt(orders.seq, sql.placeholder("before"))))
      .orderBy(desc(orders.seq))
      .limit(sql.placeholder("limit"))
      .prepare(),
    entries: orm.select().from(historyEntries).where(eq(historyEntries.orderId, orderId)).prepare(),
    acceptOrder: orm.insert(orders).values(order).prepare(),
    addOwnEntry: orm.insert(historyEntries).values(entry).prepare(),
    // During a rebuild, the first message of the new generation overwrites the row.
    applyOrder: orm
      .insert(orders)
      .values({ ...order, generation: currentGeneration })
      .onConflictDoUpdate({
        target: orders.orderId,
        set: excluded(orders, "customerId", "items", "total", "placedAt", "generation"),
        setWhere: sql`orders.generation < excluded.generation`,
      })
      .prepare(),
    applyEntry: orm
      .insert(historyEntries)
      .values({ ...entry, generation: currentGeneration })
      .onConflictDoUpdate({
        target: [historyEntries.orderId, historyEntries.id],
        set: excluded(
          historyEntries,
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

function prepareProducts({ orm }: ServiceDatabase) {
  const productId = sql.placeholder("productId");
  const shown = {
    productId: products.productId,
    name: products.name,
    price: products.price,
    available: products.available,
  };
  const isSold = eq(products.withdrawn, false);
  const applied = { productId, version: sql.placeholder("version"), generation: currentGeneration };
  // The same version has the same content, unless the row was damaged: then it is repaired.
  const setWhere = sql`excluded.version >= ${products.version}`;
  return {
    products: orm.select(shown).from(products).where(isSold).orderBy(products.productId).prepare(),
    product: orm
      .select(shown)
      .from(products)
      .where(and(eq(products.productId, productId), isSold))
      .prepare(),
    applyProduct: orm
      .insert(products)
      .values({
        ...applied,
        name: sql.placeholder("name"),
        price: sql.placeholder("price"),
        available: sql.placeholder("available"),
        withdrawn: false,
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: excluded(products, "name", "price", "available", "version", "withdrawn", "generation"),
        setWhere,
      })
      .prepare(),
    applyWithdrawal: orm
      .insert(products)
      .values({
        ...applied,
        name: "",
        price: { amount: 0, currency: "XXX" },
        available: 0,
        withdrawn: true,
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: { ...excluded(products, "version", "generation"), withdrawn: sql`1` },
        setWhere,
      })
      .prepare(),
  };
}

function prepareKeys({ orm }: ServiceDatabase) {
  const customerId = sql.placeholder("customerId");
  const key = sql.placeholder("key");
  return {
    key: orm
      .select()
      .from(acceptedRequests)
      .where(and(eq(acceptedRequests.customerId, customerId), eq(acceptedRequests.key, key)))
      .prepare(),
    addKey: orm
      .insert(acceptedRequests)
      .values({
        customerId,
        key,
        operation: sql.placeholder("operation"),
        content: sql.placeholder("content"),
        target: sql.placeholder("target"),
        status: sql.placeholder("status"),
        createdAt: sql.placeholder("now"),
      })
      .prepare(),
    pruneKeys: orm
      .delete(acceptedRequests)
      .where(
        sql`(customer_id, key) IN (
          SELECT customer_id, key FROM idempotency_keys WHERE created_at < ${sql.placeholder("before")}
          ORDER BY created_at LIMIT ${PRUNED_PER_KEY}
        )`,
      )
      .prepare(),
  };
}
