import type { Line, Money, Shortage } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { DeletedIds, type Kept, orderRetention } from "@distributed-messaging/service/retention";
import {
  type ChangedReservation,
  type Decision,
  type EndingPriority,
  PRIORITY_PERIOD_MS,
  type Reservation,
  type Restocking,
  type Stock,
  type StockLedger,
  type Waiting,
} from "./domain.ts";

export interface Product extends Stock {
  readonly name: string;
  readonly price: Money;
  readonly version: number;
}

/** Stock, reservations and the queue of waiting orders. */
export class InventoryStore implements StockLedger {
  readonly #statements;
  readonly #queue;
  readonly #deleted;

  constructor(database: ServiceDatabase) {
    this.#deleted = new DeletedIds(database);
    this.#statements = prepare(database);
    this.#queue = prepareQueue(database);
  }

  product(productId: string): Product | undefined {
    const row = this.#statements.product.get(productId);
    return row === null ? undefined : toProduct(row);
  }

  products(): Product[] {
    return this.#statements.products.all().map(toProduct);
  }

  /** Saves a product under the next version. @returns it with that version */
  saveProduct(product: Omit<Product, "version">): Product {
    const { productId, name, price, onHand, reserved } = product;
    const version = this.#nextVersion();
    this.#statements.saveProduct.run(productId, name, JSON.stringify(price), onHand, reserved, version);
    return { ...product, version };
  }

  /** Changes the stock of products, each under the next version. @returns those of them that there are, as they are now */
  changeStock(changed: readonly Stock[]): Product[] {
    if (changed.length === 0) return [];
    const first = this.#nextVersion(changed.length);
    return changed.flatMap(({ productId, onHand, reserved }, index) => {
      this.#statements.changeStock.run(onHand, reserved, first + index, productId);
      return this.product(productId) ?? [];
    });
  }

  stock(productId: string): Stock | undefined {
    return this.#statements.stock.get(productId) ?? undefined;
  }

  reservation(orderId: string): Reservation | undefined {
    const row = this.#statements.reservation.get(orderId);
    return row === null ? undefined : toReservation(row);
  }

  restocking(restockId: string): Restocking | undefined {
    return this.#statements.restocking.get(restockId) ?? undefined;
  }

  windowOf(customerId: string): number | undefined {
    return this.#queue.windowOf.get(customerId)?.openedAt;
  }

  firstPriority(): EndingPriority | undefined {
    return this.#queue.firstPriority.get() ?? undefined;
  }

  waitingOf(customerId: string): number {
    return this.#queue.waitingOf.get(customerId)?.count ?? 0;
  }

  nextWaiting(productId: string, after: number, limits: ReadonlyMap<string, number>): Waiting | undefined {
    const row = this.#queue.next.get(productId, after, JSON.stringify(Object.fromEntries(limits)));
    if (row === null) return undefined;
    // Written by saveReservation, and by nothing else.
    const lines = JSON.parse(row.lines) as readonly Line[];
    const shortages = JSON.parse(row.shortages) as readonly Shortage[];
    const customerId = row.customerId ?? undefined;
    const priorityUntil = row.priorityUntil ?? undefined;
    return { ...row, status: "waiting", customerId, priorityUntil, lines, shortages };
  }

  mostAsked(productId: string): number {
    return this.#queue.mostAsked.get(productId)?.quantity ?? 0;
  }

  firstAskingForMore(productId: string, than: number, after: number): number | undefined {
    return this.#queue.firstAskingForMore.get(productId, than, after)?.arrival;
  }

  askingBetween(productId: string, above: number, upTo: number): readonly number[] {
    return this.#queue.askingBetween.all(productId, above, upTo).map(({ arrival }) => arrival);
  }

  /** Saves a decision, but for the stock: see `changeStock`. */
  save({ reservations, left, restocking, window }: Decision, { now }: Pick<Transaction, "now">): void {
    for (const { arrival, lines } of left) {
      for (const { productId } of lines) this.#queue.removeLine.run(productId, arrival);
    }
    for (const reservation of reservations) this.#saveReservation(reservation, now);
    if (restocking !== undefined) {
      const { restockId, productId, quantity } = restocking;
      this.#statements.addRestocking.run(restockId, productId, quantity, now);
    }
    if (window !== undefined) {
      this.#queue.pruneWindows.run(now - PRIORITY_PERIOD_MS);
      this.#queue.openWindow.run(window.customerId, window.openedAt);
    }
  }

  /** The order of a reservation is confirmed: retention may delete it, without giving its stock back. */
  settle(orderId: string, { now }: Pick<Transaction, "now">): void {
    this.#statements.settle.run(now, orderId);
  }

  /** Whether there was a reservation for an order of this id, which retention has deleted. */
  wasDeleted(orderId: string): boolean {
    return this.#deleted.has(orderId);
  }

  /** Deletes reservations whose orders have been final for long. No stock changes. @param retentionMs ORDER_RETENTION */
  keptFor(retentionMs: number): Kept {
    const { keepMs, idMs } = orderRetention(retentionMs).inventory;
    return {
      keepMs,
      newest: () => this.#statements.newestSettled.get()?.time ?? undefined,
      remove: (before, limit, now) => {
        const old = this.#statements.settledBefore.all(before, limit);
        for (const { arrival, orderId } of old) {
          this.#statements.removeReservation.run(arrival);
          this.#deleted.add(orderId, now);
        }
        this.#deleted.prune(now - idMs, 2 * limit);
        return old.length === limit;
      },
    };
  }

  /** How many orders wait. */
  waiting(): number {
    return this.#statements.waiting.get()?.count ?? 0;
  }

  /** Deletes every product and reservation. @returns what was sold, and the version of its withdrawal */
  clear(): { productId: string; version: number }[] {
    const withdrawn = this.products().map(({ productId }) => ({ productId, version: this.#nextVersion() }));
    this.#statements.clearReservations.run();
    this.#queue.clear.run();
    this.#queue.clearWindows.run();
    this.#statements.clearProducts.run();
    return withdrawn;
  }

  #saveReservation(reservation: ChangedReservation, now: number): void {
    const { status, orderId } = reservation;
    if (reservation.status !== "waiting") {
      const lines = reservation.status === "reserved" ? reservation.lines : [];
      this.#queue.saveReservation.run(
        orderId,
        null,
        status,
        JSON.stringify(lines),
        null,
        null,
        null,
        status === "reserved" ? null : now,
      );
      return;
    }
    const { customerId, lines, shortages, revision, priorityUntil } = reservation;
    this.#queue.saveReservation.run(
      orderId,
      customerId ?? null,
      status,
      JSON.stringify(lines),
      JSON.stringify(shortages),
      revision,
      priorityUntil ?? null,
      null,
    );
    const saved = this.#queue.arrivalOf.get(orderId);
    if (saved === null) throw new Error(`order ${orderId} was not saved`);
    const priority = priorityUntil === undefined ? 0 : 1;
    for (const { productId, quantity } of lines) {
      if (!("arrival" in reservation)) {
        this.#queue.addLine.run(productId, saved.arrival, quantity, priority);
      } else if (priority === 0) this.#queue.endPriority.run(productId, saved.arrival);
    }
  }

  /** @returns the first of as many versions as are needed */
  #nextVersion(count = 1): number {
    this.#statements.addVersions.run(count);
    const row = this.#statements.lastVersion.get();
    if (row === null) throw new Error("product_versions has no row");
    return row.last - count + 1;
  }
}

interface ProductRow extends Stock {
  readonly name: string;
  /** JSON. */
  readonly price: string;
  readonly version: number;
}

interface ReservationRow {
  readonly arrival: number;
  readonly orderId: string;
  readonly customerId: string | null;
  readonly status: Reservation["status"];
  /** JSON, like the shortages. */
  readonly lines: string;
  readonly shortages: string | null;
  readonly revision: number | null;
  readonly priorityUntil: number | null;
}

function toProduct(row: ProductRow): Product {
  // Written by `saveProduct`, and by nothing else.
  return { ...row, price: JSON.parse(row.price) as Money };
}

function toReservation(row: ReservationRow): Reservation {
  const { status, orderId, arrival } = row;
  // Written by `#saveReservation`, and by nothing else.
  const lines = JSON.parse(row.lines) as readonly Line[];
  switch (status) {
    case "waiting":
      return {
        ...{ status, orderId, lines, arrival },
        customerId: row.customerId ?? undefined,
        priorityUntil: row.priorityUntil ?? undefined,
        // A CHECK of the table: neither is null.
        shortages: JSON.parse(row.shortages ?? "[]") as readonly Shortage[],
        revision: row.revision ?? 0,
      };
    case "reserved":
      return { status, orderId, lines };
    case "rejected":
    case "cancelled":
      return { status, orderId };
    default:
      return status satisfies never;
  }
}

function prepare({ sql }: ServiceDatabase) {
  const product = "product_id AS productId, name, price, on_hand AS onHand, reserved, version";
  return {
    product: sql.prepare<ProductRow, [string]>(`SELECT ${product} FROM products WHERE product_id = ?`),
    products: sql.prepare<ProductRow, []>(`SELECT ${product} FROM products ORDER BY product_id`),
    stock: sql.prepare<Stock, [string]>(
      "SELECT product_id AS productId, on_hand AS onHand, reserved FROM products WHERE product_id = ?",
    ),
    saveProduct: sql.prepare<null, [string, string, string, number, number, number]>(
      `INSERT INTO products (product_id, name, price, on_hand, reserved, version) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (product_id) DO UPDATE SET
         name = excluded.name, price = excluded.price, on_hand = excluded.on_hand,
         reserved = excluded.reserved, version = excluded.version`,
    ),
    changeStock: sql.prepare<null, [number, number, number, string]>(
      "UPDATE products SET on_hand = ?, reserved = ?, version = ? WHERE product_id = ?",
    ),
    addVersions: sql.prepare<null, [number]>(
      "UPDATE product_versions SET last = last + ? WHERE singleton = 1",
    ),
    lastVersion: sql.prepare<{ last: number }, []>("SELECT last FROM product_versions WHERE singleton = 1"),
    reservation: sql.prepare<ReservationRow, [string]>(
      `SELECT arrival, order_id AS orderId, customer_id AS customerId, status, lines, shortages, revision,
         priority_until AS priorityUntil
       FROM reservations WHERE order_id = ?`,
    ),
    waiting: sql.prepare<{ count: number }, []>(
      "SELECT count(*) AS count FROM reservations WHERE status = 'waiting'",
    ),
    restocking: sql.prepare<Restocking, [string]>(
      `SELECT restock_id AS restockId, product_id AS productId, quantity FROM restockings WHERE restock_id = ?`,
    ),
    addRestocking: sql.prepare<null, [string, string, number, number]>(
      "INSERT INTO restockings (restock_id, product_id, quantity, at) VALUES (?, ?, ?, ?)",
    ),
    settle: sql.prepare<null, [number, string]>(
      "UPDATE reservations SET settled_at = ? WHERE order_id = ? AND status = 'reserved'",
    ),
    newestSettled: sql.prepare<{ time: number | null }, []>(
      "SELECT max(settled_at) AS time FROM reservations WHERE settled_at IS NOT NULL",
    ),
    settledBefore: sql.prepare<{ arrival: number; orderId: string }, [number, number]>(
      `SELECT arrival, order_id AS orderId FROM reservations
       WHERE settled_at IS NOT NULL AND settled_at < +? AND status <> 'waiting' ORDER BY settled_at LIMIT ?`,
    ),
    removeReservation: sql.prepare<null, [number]>("DELETE FROM reservations WHERE arrival = ?"),
    clearReservations: sql.prepare<null, []>("DELETE FROM reservations"),
    clearProducts: sql.prepare<null, []>("DELETE FROM products"),
  };
}

/** Each new window deletes so many that are over. */
const PRUNED_PER_WINDOW = 2;

interface WaitingRow {
  readonly orderId: string;
  readonly customerId: string | null;
  readonly priorityUntil: number | null;
  readonly lines: string;
  readonly arrival: number;
  readonly shortages: string;
  readonly revision: number;
}

/**
 * The queue of waiting orders. A plain `?` beside an ORDER BY would make SQLite prepare the statement anew whenever another
 * value is bound, which takes ten times as long as the statement: hence `+?`, the same value.
 */
function prepareQueue({ sql: database }: ServiceDatabase) {
  return {
    saveReservation: database.prepare<
      null,
      [string, string | null, string, string, string | null, number | null, number | null, number | null]
    >(
      `INSERT INTO reservations (order_id, customer_id, status, lines, shortages, revision, priority_until, settled_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (order_id) DO UPDATE SET
         customer_id = excluded.customer_id, status = excluded.status, lines = excluded.lines,
         shortages = excluded.shortages, revision = excluded.revision, priority_until = excluded.priority_until,
         settled_at = excluded.settled_at`,
    ),
    arrivalOf: database.prepare<{ arrival: number }, [string]>(
      "SELECT arrival FROM reservations WHERE order_id = ?",
    ),
    addLine: database.prepare(
      "INSERT INTO waiting_lines (product_id, arrival, quantity, priority) VALUES (?, ?, ?, ?)",
    ),
    endPriority: database.prepare(
      "UPDATE waiting_lines SET priority = 0 WHERE product_id = ? AND arrival = ? AND priority = 1",
    ),
    removeLine: database.prepare("DELETE FROM waiting_lines WHERE product_id = ? AND arrival = ?"),
    clear: database.prepare("DELETE FROM waiting_lines"),
    next: database.prepare<WaitingRow, [string, number, string]>(
      // The limits are read once: a correlated json_each would parse them for every row.
      `WITH limits AS MATERIALIZED (SELECT key AS product_id, value AS most FROM json_each(?3))
       SELECT order_id AS orderId, customer_id AS customerId, lines, arrival, shortages, revision,
         priority_until AS priorityUntil
       FROM waiting_lines AS line JOIN reservations USING (arrival)
       WHERE line.product_id = +?1 AND line.arrival > +?2 AND NOT EXISTS (
         SELECT 1 FROM limits CROSS JOIN waiting_lines AS other
         WHERE other.product_id = limits.product_id AND other.arrival = line.arrival AND other.quantity > most
       )
       ORDER BY line.arrival LIMIT 1`,
    ),
    mostAsked: database.prepare<{ quantity: number }, [string]>(
      `SELECT quantity FROM waiting_lines WHERE product_id = +? AND priority = 1
       ORDER BY quantity DESC LIMIT 1`,
    ),
    // The plus keeps it in order of arrival, so that it ends at the first.
    firstAskingForMore: database.prepare<{ arrival: number }, [string, number, number]>(
      `SELECT arrival FROM waiting_lines
       WHERE product_id = +? AND priority = 1 AND +quantity > +? AND arrival > +? ORDER BY arrival LIMIT 1`,
    ),
    askingBetween: database.prepare<{ arrival: number }, [string, number, number]>(
      `SELECT arrival FROM waiting_lines
       WHERE product_id = ? AND priority = 1 AND quantity > ? AND quantity <= ?`,
    ),
    firstPriority: database.prepare<EndingPriority, []>(
      `SELECT order_id AS orderId, priority_until AS priorityUntil FROM reservations
       WHERE priority_until IS NOT NULL ORDER BY priority_until, arrival LIMIT 1`,
    ),
    waitingOf: database.prepare<{ count: number }, [string]>(
      "SELECT count(*) AS count FROM reservations WHERE customer_id = ? AND status = 'waiting'",
    ),
    windowOf: database.prepare<{ openedAt: number }, [string]>(
      "SELECT opened_at AS openedAt FROM priority_windows WHERE customer_id = ?",
    ),
    openWindow: database.prepare(
      `INSERT INTO priority_windows (customer_id, opened_at) VALUES (?, ?)
       ON CONFLICT (customer_id) DO UPDATE SET opened_at = excluded.opened_at`,
    ),
    pruneWindows: database.prepare(
      `DELETE FROM priority_windows WHERE customer_id IN (
         SELECT customer_id FROM priority_windows WHERE opened_at <= ?
         ORDER BY opened_at LIMIT ${PRUNED_PER_WINDOW}
       )`,
    ),
    clearWindows: database.prepare("DELETE FROM priority_windows"),
  };
}
