import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { migrate, openDatabase, type ServiceDatabase } from "@distributed-messaging/messaging";
import type { Order } from "./domain.ts";
import { migrations } from "./migrations/index.ts";
import { OrderStore } from "./store.ts";

const STATUSES = ["pending", "backordered", "confirmed", "rejected", "cancelled"] as const;
const shortages = [{ productId: "CUP", missing: 1 }];
const items = [
  { productId: "CUP", quantity: 2, unitPrice: { amount: 250, currency: "EUR" } },
  { productId: "POT", quantity: 1, unitPrice: { amount: 900, currency: "USD" } },
];
const details = { customerId: "ANN", items, total: { amount: 1400, currency: "EUR" } };
const orders: readonly Order[] = [
  { ...details, orderId: "A", status: "pending" },
  { ...details, orderId: "B", status: "backordered", shortages, revision: 3, expiresAt: 5_000 },
  { ...details, orderId: "C", status: "confirmed" },
  { ...details, orderId: "D", status: "confirmed" },
  { ...details, orderId: "E", status: "rejected", reason: "unknown product" },
  { ...details, orderId: "F", status: "cancelled", reason: "backorder_expired" },
];

let database: ServiceDatabase;
beforeEach(() => {
  database = openDatabase(":memory:");
});
afterEach(() => database.close());

function counts(store: OrderStore): Record<string, number> {
  return Object.fromEntries(STATUSES.map((status) => [status, store.countByStatus(status)]));
}

/** What the counts have to be. */
function counted(): Record<string, number> {
  const rows = database.sql
    .query<{ status: string; n: number }, []>("SELECT status, count(*) AS n FROM orders GROUP BY status")
    .all();
  const zero = Object.fromEntries(STATUSES.map((status) => [status, 0]));
  return { ...zero, ...Object.fromEntries(rows.map(({ status, n }) => [status, n])) };
}

describe("orders", () => {
  test("are found as they were stored, and counted by status", () => {
    migrate(database, "order", migrations);
    const store = new OrderStore(database);
    expect(counts(store)).toEqual(counted());
    for (const order of orders) {
      store.add(order, { now: 1 });
      expect(counts(store)).toEqual(counted());
    }
    for (const order of orders) expect(store.find(order.orderId)).toEqual(order);
    for (const order of orders) {
      for (const { orderId, ...other } of orders) {
        store.change({ ...other, orderId: order.orderId }, { now: 2 });
        expect(store.find(order.orderId)).toEqual({ ...other, orderId: order.orderId });
        expect(counts(store)).toEqual(counted());
      }
    }
    database.sql.run("DELETE FROM orders WHERE order_id < 'C'");
    expect(counts(store)).toEqual(counted());
  });

  test("of a file of the version before are kept", () => {
    migrate(database, "order", migrations.slice(0, 1));
    const insert = database.sql.prepare(
      `INSERT INTO orders (order_id, customer_id, status, items, total, shortages, reason, revision, expires_at,
         placed_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 10, 20)`,
    );
    for (const order of orders) {
      const { orderId, customerId, status } = order;
      const waiting = status === "backordered" ? order : undefined;
      const reason = status === "rejected" || status === "cancelled" ? order.reason : null;
      insert.run(
        ...[orderId, customerId, status, JSON.stringify(order.items), JSON.stringify(order.total)],
        ...[waiting ? JSON.stringify(waiting.shortages) : null, reason],
        ...[waiting?.revision ?? null, waiting?.expiresAt ?? null],
      );
    }
    insert.finalize();
    migrate(database, "order", migrations);
    const store = new OrderStore(database);
    for (const order of orders) expect(store.find(order.orderId)).toEqual(order);
    expect(counts(store)).toEqual({ pending: 1, backordered: 1, confirmed: 2, rejected: 1, cancelled: 1 });
    const times = database.sql.query(
      "SELECT DISTINCT placed_at AS placed, updated_at AS updated FROM orders",
    );
    expect(times.all()).toEqual([{ placed: 10, updated: 20 }]);
  });
});
