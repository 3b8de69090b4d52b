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
import { DeletedIds, type Kept, orderRetention } from "@distributed-messaging/service/retention";
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

/** What of a row may differ from the order that the order service has. */
type StayingRow = Pick<OrderRow, "items" | "total" | "currency"> & { readonly placedAt: number };

/** An order that was placed long ago. */
interface OldOrder {
  readonly seq: number;
  readonly placedAt: number;
  readonly orderId: string;
}
const NO_ORDER: OldOrder = { seq: 0, placedAt: Number.MIN_SAFE_INTEGER, orderId: "" };

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

/** A row of `products`, as far as it is shown. */
interface ProductRow extends Omit<CatalogueEntry, "price"> {
  /** JSON of `Money`. */
  readonly price: string;
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
/** The messages after which an order is final: a confirmed one may still be cancelled, until it is deleted. */
const FINAL = [OrderConfirmed, OrderRejected, OrderCancelled].map((definition) =>
  HISTORY.indexOf(definition),
);
const PLACES: ReadonlyMap<string, number> = new Map(HISTORY.map(({ type }, place) => [type, place]));

const acceptedRequests = sqliteTable("idempotency_keys", {
  customerId: text("customer_id").notNull(),
  key: text("key").notNull(),
  operation: text("operation").$type<AcceptedRequest["operation"]>().notNull(),
  content: text("content").notNull(),
  target: text("target").notNull(),
  status: text("answer").$type<Status | "">().notNull(),
  createdAt: integer("created_at").notNull(),
});

const DAY_MS = 24 * 60 * 60 * 1000;
/** Each new key deletes so many expired ones, so the table shrinks while there is traffic. */
const PRUNED_PER_KEY = 2;

/** The gateway's projections of orders and products, and the requests that it has accepted. */
export class GatewayStore {
  readonly #keyRetentionMs: number;
  readonly #statements;
  readonly #deleted;
  /** Where the next batch of old orders begins: those that are not final stay in front. */
  #oldest: OldOrder = NO_ORDER;

  /** @param keyRetentionMs for how long an Idempotency-Key is valid, at least; in milliseconds */
  constructor(database: ServiceDatabase, keyRetentionMs = 7 * DAY_MS) {
    this.#keyRetentionMs = keyRetentionMs;
    this.#statements = prepare(database);
    this.#deleted = new DeletedIds(database);
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
    const row = this.#rowNamed(customerId, name);
    return row === undefined ? undefined : this.#view(row);
  }

  /**
   * A customer's orders, newest first.
   *
   * @param after the name of the last order of the previous page; one that the customer does not have gives nothing
   */
  page(customerId: string, limit: number, after: string | undefined): OrderView[] {
    const before = after === undefined ? Number.MAX_SAFE_INTEGER : this.#rowNamed(customerId, after)?.seq;
    if (before === undefined) return [];
    return this.#statements.page.all(customerId, before, limit).map((row) => this.#view(row));
  }

  /** Stores an order that this gateway accepts. */
  acceptOrder(order: PlacedOrder): void {
    const { changes } = this.#statements.acceptOrder.run(order.orderId, ...valuesOf(order));
    if (changes !== 1) throw new Error(`order ${order.orderId} is there already`);
  }

  /** Stores a command that this gateway emits, about an order that it knows: no rebuild could bring it back. */
  addOwnEntry(orderId: string, entry: HistoryEntry): void {
    const { changes } = this.#statements.addOwnEntry.run(orderId, ...valuesOfEntry(entry));
    if (changes !== 1) throw new Error(`order ${orderId} is unknown`);
  }

  /**
   * Applies an order of the order service. Of one that this gateway has accepted, only the content may change: another
   * gateway had accepted one of the same name before.
   *
   * @param placedAt for an order that this gateway does not know, in milliseconds since the epoch
   * @returns when it was placed
   */
  applyOrder(order: DataOf<typeof OrderPlaced>, placedAt: number): number {
    const { stays, applyOrder, correctOrder } = this.#statements;
    // Not left to the conflict alone, which would use up a number each time.
    const known = stays.get(order.orderId);
    const [customerId, items, amount, currency] = valuesOf({ ...order, placedAt });
    if (known !== null) {
      const isSame = known.items === items && known.total === amount && known.currency === currency;
      if (!isSame) correctOrder.run(items, amount, currency, order.orderId);
    } else if (!this.#deleted.has(order.orderId)) {
      applyOrder.run(order.orderId, customerId, items, amount, currency, placedAt);
    }
    return known?.placedAt ?? placedAt;
  }

  /** Applies a message about an order, which may be the first that names it. Idempotent. */
  applyEntry(orderId: string, entry: HistoryEntry): void {
    const { applyEntry, number, addNumber } = this.#statements;
    const values = valuesOfEntry(entry);
    if (applyEntry.run(orderId, ...values).changes > 0 || number.get(orderId) !== null) return;
    if (this.#deleted.has(orderId)) return;
    addNumber.run(orderId);
    applyEntry.run(orderId, ...values);
  }

  /**
   * The same for a message that only an order can have which is known.
   *
   * @param onApplied called with the time at which the order was placed, unless the message was applied before
   * @returns whether it is, or was before retention deleted it; if not, nothing changes
   */
  applyEntryOfKnown(orderId: string, entry: HistoryEntry, onApplied?: (placedAt: number) => void): boolean {
    const { applyEntryOfKnown, order } = this.#statements;
    const applied = applyEntryOfKnown.get(orderId, ...valuesOfEntry(entry));
    if (applied === null) return order.get(orderId) !== null || this.#deleted.has(orderId);
    onApplied?.(applied.placedAt);
    return true;
  }

  /** Deletes orders that have been final for long; no others, however old they are. @param retentionMs ORDER_RETENTION */
  keptFor(retentionMs: number): Kept {
    const { keepMs, idMs } = orderRetention(retentionMs).gateway;
    const { newestOrder, placedBefore, lastChange, removeOrder } = this.#statements;
    return {
      keepMs,
      newest: () => newestOrder.get()?.time ?? undefined,
      remove: (before, limit, now) => {
        const { placedAt, seq } = this.#oldest;
        const old = placedBefore.all(before, placedAt, seq, limit);
        for (const order of old) {
          const change = lastChange.get(order.seq);
          if (change === null || change.isFinal !== 1 || change.at >= before) continue;
          // With its history.
          removeOrder.run(order.seq);
          this.#deleted.add(order.orderId, now);
        }
        this.#oldest = (old.length === limit ? old.at(-1) : undefined) ?? NO_ORDER;
        this.#deleted.prune(now - idMs, 2 * limit);
        return old.length === limit;
      },
    };
  }

  /** What is sold. */
  products(): CatalogueEntry[] {
    return this.#statements.products.all().map(toProduct);
  }

  /** Undefined when it is not sold. */
  product(productId: string): CatalogueEntry | undefined {
    const row = this.#statements.product.get(productId);
    return row === null ? undefined : toProduct(row);
  }

  /** A state older than the stored one changes nothing. */
  applyProduct({ productId, name, price, available, version }: DataOf<typeof StockChanged>): void {
    this.#statements.applyProduct.run(productId, name, JSON.stringify(price), available, version);
  }

  applyWithdrawal({ productId, version }: DataOf<typeof ProductWithdrawn>): void {
    this.#statements.applyWithdrawal.run(productId, version);
  }

  /** What the decision on a request depends on. @param newName for an order whose client chose none */
  stateFor(request: ClientRequest, newName: string): RequestState {
    const { customerId, key } = request;
    const name = request.operation === "restock" ? undefined : (request.name ?? newName);
    const named =
      request.operation === "place-order" ? request.items : request.operation === "restock" ? [request] : [];
    const sold = named.flatMap(({ productId }) => this.product(productId) ?? []);
    const order = name === undefined ? undefined : this.orderNamed(customerId, name);
    return {
      earlier: key === undefined ? undefined : this.#accepted(customerId, key),
      order,
      wasDeleted: name !== undefined && order === undefined && this.#wasDeleted(customerId, name),
      products: new Map(sold.map((product) => [product.productId, product])),
    };
  }

  /**
   * Stores what was accepted under a request's key, if it has one; only after `stateFor` found nothing under it, in
   * the same transaction. A key is valid for the retention at least.
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

  #wasDeleted(customerId: string, name: string): boolean {
    return this.#deleted.has(orderIdOf(customerId, name));
  }

  #rowNamed(customerId: string, name: string): OrderRow | undefined {
    for (const orderId of [orderIdOf(customerId, name), name]) {
      const row = this.#statements.order.get(orderId);
      if (row?.customer_id === customerId) return row;
    }
    return undefined;
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
  const type = PLACES.get(entry.type);
  if (type === undefined) throw new TypeError(`${entry.type} is not part of histories`);
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

/** Sound: the price is what `applyProduct` made of `Money`. */
function toProduct({ price, ...row }: ProductRow): CatalogueEntry {
  return { ...row, price: JSON.parse(price) as Money };
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

/** The generation of `rebuildMigration` that is written now. */
const GENERATION = "(SELECT generation FROM rebuild)";

/** What runs for every order: plain statements, which take half of the time. */
function prepareOrders({ sql: database }: ServiceDatabase) {
  const known = "SELECT seq, order_id, customer_id, items, total, currency, placed_at FROM orders";
  const columns = "order_id, customer_id, items, total, currency, placed_at";
  const setOrder = `customer_id = excluded.customer_id, items = excluded.items, total = excluded.total,
    currency = excluded.currency, placed_at = excluded.placed_at`;
  const addEntry = (generation: string) => `INSERT INTO order_steps
      (order_seq, message_id, cause_id, at, type, service, shortages, revision, reason, generation)
    SELECT seq, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ${generation} FROM orders WHERE order_id = ?1`;
  // During a rebuild, the first message of the new generation overwrites the row.
  const overwrite = `ON CONFLICT DO UPDATE SET
      cause_id = excluded.cause_id, at = excluded.at, type = excluded.type, service = excluded.service,
      shortages = excluded.shortages, revision = excluded.revision, reason = excluded.reason,
      generation = excluded.generation
    WHERE order_steps.generation < excluded.generation`;
  return {
    number: database.prepare<{ seq: number }, [string]>("SELECT seq FROM orders WHERE order_id = ?"),
    addNumber: database.prepare<never, [string]>("INSERT INTO orders (order_id) VALUES (?)"),
    order: database.prepare<OrderRow, [string]>(`${known} WHERE order_id = ? AND customer_id IS NOT NULL`),
    // `+?`: of a plain one beside an ORDER BY, SQLite prepares the statement anew whenever a value is bound.
    page: database.prepare<OrderRow, [string, number, number]>(
      `${known} WHERE customer_id = +? AND seq < +? ORDER BY seq DESC LIMIT ?`,
    ),
    entries: database.prepare<EntryRow, [number]>(
      `SELECT message_id, cause_id, at, type, service, shortages, revision, reason FROM order_steps
       WHERE order_seq = ?`,
    ),
    newestOrder: database.prepare<{ time: number | null }, []>(
      "SELECT max(placed_at) AS time FROM orders WHERE placed_at IS NOT NULL",
    ),
    placedBefore: database.prepare<OldOrder, [number, number, number, number]>(
      `SELECT seq, placed_at AS placedAt, order_id AS orderId FROM orders
       WHERE placed_at < +? AND (placed_at, seq) > (+?, +?) ORDER BY placed_at, seq LIMIT ?`,
    ),
    lastChange: database.prepare<{ isFinal: number; at: number }, [number]>(
      `SELECT max(type IN (${FINAL.join(", ")})) AS isFinal, max(at) AS at FROM order_steps WHERE order_seq = ?`,
    ),
    removeOrder: database.prepare<never, [number]>("DELETE FROM orders WHERE seq = ?"),
    acceptOrder: database.prepare<never, [string, ...OrderValues]>(
      `INSERT INTO orders (${columns}) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (order_id) DO UPDATE SET ${setOrder} WHERE customer_id IS NULL`,
    ),
    addOwnEntry: database.prepare<never, [string, ...EntryValues]>(addEntry("NULL")),
    /** An order that this gateway has accepted, or that is of the current generation. */
    stays: database.prepare<StayingRow, [string]>(
      `SELECT placed_at AS placedAt, items, total, currency FROM orders WHERE order_id = ? AND customer_id IS NOT NULL
         AND (generation IS NULL OR generation >= ${GENERATION})`,
    ),
    correctOrder: database.prepare<never, [string, number, string, string]>(
      "UPDATE orders SET items = ?, total = ?, currency = ? WHERE order_id = ?",
    ),
    applyOrder: database.prepare<never, [string, ...OrderValues]>(
      `INSERT INTO orders (${columns}, generation) VALUES (?, ?, ?, ?, ?, ?, ${GENERATION})
       ON CONFLICT (order_id) DO UPDATE SET ${setOrder}, generation = excluded.generation`,
    ),
    applyEntry: database.prepare<never, [string, ...EntryValues]>(`${addEntry(GENERATION)} ${overwrite}`),
    applyEntryOfKnown: database.prepare<{ placedAt: number }, [string, ...EntryValues]>(
      `${addEntry(GENERATION)} AND customer_id IS NOT NULL ${overwrite}
       RETURNING (SELECT placed_at FROM orders WHERE seq = order_seq) AS placedAt`,
    ),
  };
}

function prepareProducts({ sql: database }: ServiceDatabase) {
  const shown = "SELECT product_id AS productId, name, price, available FROM products";
  return {
    products: database.prepare<ProductRow, []>(`${shown} WHERE NOT withdrawn ORDER BY product_id`),
    product: database.prepare<ProductRow, [string]>(`${shown} WHERE product_id = ? AND NOT withdrawn`),
    // The same version has the same content, unless the row was damaged: then it is repaired.
    applyProduct: database.prepare<never, [string, string, string, number, number]>(
      `INSERT INTO products (product_id, name, price, available, version, withdrawn, generation)
       VALUES (?, ?, ?, ?, ?, 0, ${GENERATION})
       ON CONFLICT (product_id) DO UPDATE SET
         name = excluded.name, price = excluded.price, available = excluded.available,
         version = excluded.version, withdrawn = excluded.withdrawn, generation = excluded.generation
       WHERE excluded.version >= products.version`,
    ),
    applyWithdrawal: database.prepare<never, [string, number]>(
      `INSERT INTO products (product_id, name, price, available, version, withdrawn, generation)
       VALUES (?, '', '{"amount":0,"currency":"XXX"}', 0, ?, 1, ${GENERATION})
       ON CONFLICT (product_id) DO UPDATE SET
         version = excluded.version, withdrawn = excluded.withdrawn, generation = excluded.generation
       WHERE excluded.version >= products.version`,
    ),
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
