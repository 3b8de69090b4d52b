import type { Shortage } from "@distributed-messaging/contracts";
import { linesOf, storedLines } from "@distributed-messaging/contracts/stored-lines";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { DeletedIds, type Kept, orderRetention } from "@distributed-messaging/service/retention";
import type { Order } from "./domain.ts";

interface Row {
  readonly orderId: string;
  readonly customerId: string;
  readonly status: Order["status"];
  readonly items: string;
  readonly total: number;
  readonly currency: string;
  /** JSON. */
  readonly shortages: string | null;
  readonly reason: string | null;
  readonly revision: number | null;
  readonly expiresAt: number | null;
}

/** What changes of an order. */
type State = [
  status: string,
  shortages: string | null,
  reason: string | null,
  revision: number | null,
  expiresAt: number | null,
  updatedAt: number,
];

/** Of an order that changes no more, but for the cancellation of a confirmed one. */
const FINAL = "status IN ('confirmed', 'rejected', 'cancelled')";

/** The orders as this service decides on them. Plain statements: reading and saving orders is most of the work. */
export class OrderStore {
  readonly #find;
  readonly #add;
  readonly #change;
  readonly #countByStatus;
  readonly #newest;
  readonly #old;
  readonly #remove;
  readonly #deleted;

  constructor(database: ServiceDatabase) {
    const { sql } = database;
    this.#deleted = new DeletedIds(database);
    this.#newest = sql.prepare<{ time: number | null }, []>(
      `SELECT max(updated_at) AS time FROM orders WHERE ${FINAL}`,
    );
    this.#old = sql.prepare<{ orderId: string }, [number, number]>(
      `SELECT order_id AS orderId FROM orders WHERE ${FINAL} AND updated_at < +? ORDER BY updated_at LIMIT ?`,
    );
    this.#remove = sql.prepare<null, [string]>(`DELETE FROM orders WHERE order_id = ? AND ${FINAL}`);
    this.#find = sql.prepare<Row, [string]>(
      `SELECT order_id AS orderId, customer_id AS customerId, status, items, total, currency, shortages, reason,
         revision, expires_at AS expiresAt
       FROM orders WHERE order_id = ?`,
    );
    this.#add = sql.prepare<null, [...State, number, string, string, string, number, string]>(
      `INSERT INTO orders (status, shortages, reason, revision, expires_at, updated_at, placed_at,
         order_id, customer_id, items, total, currency)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#change = sql.prepare<null, [...State, string]>(
      `UPDATE orders SET status = ?, shortages = ?, reason = ?, revision = ?, expires_at = ?, updated_at = ?
       WHERE order_id = ?`,
    );
    this.#countByStatus = sql.prepare<{ count: number }, [string]>(
      "SELECT count FROM order_counts WHERE status = ?",
    );
  }

  find(orderId: string): Order | undefined {
    const row = this.#find.get(orderId);
    return row === null ? undefined : toOrder(row);
  }

  /** Stores a new order. */
  add(order: Order, { now }: Pick<Transaction, "now">): void {
    const { orderId, customerId, items } = order;
    const { amount, currency } = order.total;
    const lines = storedLines(items, currency);
    this.#add.run(...stateOf(order, now), now, orderId, customerId, lines, amount, currency);
  }

  /** Stores what has become of an order. */
  change(order: Order, { now }: Pick<Transaction, "now">): void {
    this.#change.run(...stateOf(order, now), order.orderId);
  }

  /** Whether there was an order of this id, which retention has deleted. */
  wasDeleted(orderId: string): boolean {
    return this.#deleted.has(orderId);
  }

  /** Deletes orders that have been final for long; no others, however old they are. @param retentionMs ORDER_RETENTION */
  keptFor(retentionMs: number): Kept {
    const { keepMs, idMs } = orderRetention(retentionMs).order;
    return {
      keepMs,
      newest: () => this.#newest.get()?.time ?? undefined,
      remove: (before, limit, now) => {
        const old = this.#old.all(before, limit);
        for (const { orderId } of old) {
          this.#remove.run(orderId);
          this.#deleted.add(orderId, now);
        }
        this.#deleted.prune(now - idMs, 2 * limit);
        return old.length === limit;
      },
    };
  }

  countByStatus(status: Order["status"]): number {
    return this.#countByStatus.get(status)?.count ?? 0;
  }
}

function stateOf(order: Order, now: number): State {
  const { status } = order;
  const waiting = status === "backordered" ? order : undefined;
  return [
    status,
    waiting === undefined ? null : JSON.stringify(waiting.shortages),
    status === "rejected" || status === "cancelled" ? order.reason : null,
    waiting?.revision ?? null,
    waiting?.expiresAt ?? null,
    now,
  ];
}

function toOrder(row: Row): Order {
  const { orderId, customerId, status, currency, revision, expiresAt, reason } = row;
  const total = { amount: row.total, currency };
  const details = { orderId, customerId, items: linesOf(row.items, currency), total };
  switch (status) {
    case "backordered":
      // A CHECK of the table: none of these is null.
      return {
        status,
        ...details,
        shortages: JSON.parse(row.shortages ?? "[]") as readonly Shortage[],
        revision: revision ?? 0,
        expiresAt: expiresAt ?? 0,
      };
    case "rejected":
      return { status, ...details, reason: reason ?? "" };
    case "cancelled":
      return { status, ...details, reason: reason === "backorder_expired" ? reason : "customer_request" };
    case "pending":
    case "confirmed":
      return { status, ...details };
    default:
      return status satisfies never;
  }
}
