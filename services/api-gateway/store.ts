import {
  CancelOrder,
  type Money,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  orderIdOf,
  PlaceOrder,
  type ProductWithdrawn,
  type Shortage,
  type StockChanged,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { linesOf, storedLines } from "@distributed-messaging/contracts/stored-lines";
import {
  type DataOf,
  idOf,
  type ServiceDatabase,
  type StoredId,
  storedId,
  type Transaction,
} from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { and, eq, sql } from "drizzle-orm";
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

/** A row of `orders` whose order is known. */
interface OrderRow {
  readonly seq: number;
  readonly order_id: string;
  readonly customer_id: string;
  readonly items: string;
  readonly total: number;
  readonly currency: string;
  readonly placed_at: number;
}

/** A row of `order_steps`, as far as it is read. */
interface EntryRow {
  readonly message_id: StoredId;
  readonly cause_id: StoredId | null;
  readonly at: number;
  readonly type: number;
  readonly service: string | null;
  readonly shortages: string | null;
  readonly revision: number | null;
  readonly reason: string | null;
}

/** The messages of histories. A type is stored as its place here, so that further ones are appended. */
const HISTORY = [
  PlaceOrder,
  CancelOrder,
  OrderPlaced,
  OrderBackordered,
  OrderConfirmed,
  OrderRejected,
  OrderCancelled,
  StockReserved,
  StockShort,
  StockRejected,
  StockReleased,
] as const;

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
    const row = this.#statements.order.get(orderId);
    return row === null ? undefined : this.#view(row);
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
    return this.#statements.order.get(orderId) !== null;
  }

  /**
   * A customer's orders, newest first.
   *
   * @param after the name of the last order of the previous page; one that the customer does not have gives nothing
   */
  page(customerId: string, limit: number, after: string | undefined): OrderView[] {
    const orderId = after === undefined ? undefined : this.orderNamed(customerId, after)?.orderId;
    if (after !== undefined && orderId === undefined) return [];
    const before = orderId === undefined ? Number.MAX_SAFE_INTEGER : this.#numberOf(orderId);
    return this.#statements.page.all(customerId, before, limit).map((row) => this.#view(row));
  }

  /** Stores an order that this gateway accepts. */
  acceptOrder(order: PlacedOrder): void {
    const { orderId } = order;
    const { changes } = this.#statements.acceptOrder.run(this.#numberOf(orderId), ...valuesOf(order));
    if (changes !== 1) throw new Error(`order ${orderId} is there already`);
  }

  /** Stores a command that this gateway emits: no rebuild could bring it back. */
  addOwnEntry(orderId: string, entry: HistoryEntry): void {
    this.#statements.addOwnEntry.run(this.#numberOf(orderId), ...valuesOfEntry(entry));
  }

  /** Applies an order of the order service; one that this gateway has accepted does not change. */
  applyOrder(order: DataOf<typeof OrderPlaced>, placedAt: number): void {
    this.#statements.applyOrder.run(this.#numberOf(order.orderId), ...valuesOf({ ...order, placedAt }));
  }

  /** Applies a message about an order. Idempotent. */
  applyEntry(orderId: string, entry: HistoryEntry): void {
    this.#statements.applyEntry.run(this.#numberOf(orderId), ...valuesOfEntry(entry));
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

  /** The number of an order, which it gets when it is named for the first time. */
  #numberOf(orderId: string): number {
    const { number, addNumber } = this.#statements;
    const row = number.get(orderId) ?? addNumber.get(orderId);
    if (row === null) throw new Error(`order ${orderId} has no number`);
    return row.seq;
  }

  #view({ seq, order_id: orderId, customer_id: customerId, ...row }: OrderRow): OrderView {
    const { total: amount, currency, placed_at: placedAt } = row;
    const order = { orderId, customerId, items: linesOf(row.items, currency), total: { amount, currency } };
    return viewOf({ ...order, placedAt }, this.#statements.entries.all(seq).map(toEntry));
  }
}

/** Customer, lines, total, currency, time. */
type OrderValues = [string, string, number, string, number];

function valuesOf({ customerId, items, total, placedAt }: PlacedOrder): OrderValues {
  const { amount, currency } = total;
  return [customerId, storedLines(items, currency), amount, currency, placedAt];
}

/** Id, cause, time, type, service, shortages, revision, reason. */
type EntryValues = [
  StoredId,
  StoredId | null,
  number,
  number,
  string | null,
  string | null,
  number | null,
  string | null,
];

function valuesOfEntry(entry: HistoryEntry): EntryValues {
  const { id, cause, at, service } = entry;
  const type = HISTORY.findIndex((definition) => definition.type === entry.type);
  return [
    storedId(id),
    cause === id ? null : storedId(cause),
    at,
    type,
    service === HISTORY[type]?.source ? null : service,
    "shortages" in entry ? JSON.stringify(entry.shortages) : null,
    "revision" in entry ? entry.revision : null,
    "reason" in entry ? entry.reason : null,
  ];
}

/** Sound: a row is what `valuesOfEntry` made of an entry. */
function toEntry(row: EntryRow): HistoryEntry {
  const { message_id, cause_id, at, service, shortages, revision, reason } = row;
  const id = idOf(message_id);
  const definition = HISTORY[row.type];
  return {
    ...{ id, cause: cause_id === null ? id : idOf(cause_id), at },
    ...{ service: service ?? definition?.source, type: definition?.type },
    ...(shortages === null ? {} : { shortages: JSON.parse(shortages) as readonly Shortage[] }),
    ...(revision === null ? {} : { revision }),
    ...(reason === null ? {} : { reason }),
  } as HistoryEntry;
}

function prepare(database: ServiceDatabase) {
  return { ...prepareOrders(database), ...prepareProducts(database), ...prepareKeys(database) };
}

/** What runs for every order: plain statements, which take half of the time. */
function prepareOrders({ sql: database }: ServiceDatabase) {
  const generation = "(SELECT generation FROM rebuild)";
  const known = "SELECT seq, order_id, customer_id, items, total, currency, placed_at FROM orders";
  const setOrder = `UPDATE orders SET customer_id = ?2, items = ?3, total = ?4, currency = ?5, placed_at = ?6`;
  const addEntry = `INSERT INTO order_steps
    (order_seq, message_id, cause_id, at, type, service, shortages, revision, reason, generation)`;
  return {
    number: database.prepare<{ seq: number }, [string]>("SELECT seq FROM orders WHERE order_id = ?"),
    addNumber: database.prepare<{ seq: number }, [string]>(
      "INSERT INTO orders (order_id) VALUES (?) RETURNING seq",
    ),
    order: database.prepare<OrderRow, [string]>(`${known} WHERE order_id = ? AND customer_id IS NOT NULL`),
    page: database.prepare<OrderRow, [string, number, number]>(
      `${known} WHERE customer_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?`,
    ),
    entries: database.prepare<EntryRow, [number]>(
      `SELECT message_id, cause_id, at, type, service, shortages, revision, reason FROM order_steps
       WHERE order_seq = ?`,
    ),
    acceptOrder: database.prepare<never, [number, ...OrderValues]>(
      `${setOrder} WHERE seq = ?1 AND customer_id IS NULL`,
    ),
    addOwnEntry: database.prepare<never, [number, ...EntryValues]>(
      `${addEntry} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)`,
    ),
    // During a rebuild, the first message of the new generation overwrites the row.
    applyOrder: database.prepare<never, [number, ...OrderValues]>(
      `${setOrder}, generation = ${generation}
       WHERE seq = ?1 AND (customer_id IS NULL OR generation < ${generation})`,
    ),
    applyEntry: database.prepare<never, [number, ...EntryValues]>(
      `${addEntry} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ${generation})
       ON CONFLICT DO UPDATE SET
         cause_id = excluded.cause_id, at = excluded.at, type = excluded.type, service = excluded.service,
         shortages = excluded.shortages, revision = excluded.revision, reason = excluded.reason,
         generation = excluded.generation
       WHERE order_steps.generation < excluded.generation`,
    ),
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
