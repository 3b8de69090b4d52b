import { Database } from "bun:sqlite";
import { eventually } from "@distributed-messaging/messaging/testing";
import { replicableServices, serviceNames } from "@distributed-messaging/services/registry";
import type { Order } from "../support/answers.ts";
import { untilEqual } from "../support/copies.ts";
import type { OwnStore } from "../support/own-store.ts";
import type { Load } from "./load.ts";

/** The backlog of minutes of faults has to be worked off. */
const LIMIT_MS = 180_000;
const DECIDED: readonly string[] = ["confirmed", "backordered"];

/** Checks the promises of a store whose processes are all ready. @returns the violations */
export async function verdict(store: OwnStore, load: Load): Promise<string[]> {
  for (const name of serviceNames) {
    await eventually(
      async () => (await store.metric(name, "outbox_depth")) === 0,
      `the outbox of ${name} to be empty`,
      LIMIT_MS,
    );
  }
  // All orders are read through the public interfaces only once that is worth while: it takes a while.
  await eventually(
    () => undecided(store) === 0,
    "the order service to have decided on every order",
    LIMIT_MS,
  );
  const { orders, wrong } = await settled(store, load);
  return [
    ...acceptedOrders(load, orders),
    ...wrong,
    ...(await notifications(load)),
    ...(await databases(store)),
  ];
}

function undecided(store: OwnStore): number {
  const decided = DECIDED.map((status) => `'${status}'`).join(", ");
  const sql = `SELECT count(*) AS count FROM orders WHERE status NOT IN (${decided})`;
  return store.rows<{ count: number }>("order", sql)[0]?.count ?? 0;
}

/** The orders once they agree with the stock, or after the limit: what was restocked last is still handed out. */
async function settled(
  store: OwnStore,
  load: Load,
): Promise<{ readonly orders: readonly Order[]; readonly wrong: string[] }> {
  const startedAt = performance.now();
  for (;;) {
    const orders = await eventually(() => allDecided(load), "every order to be decided", LIMIT_MS);
    const wrong = await stockLevels(store, orders);
    if (wrong.length === 0 || performance.now() - startedAt > LIMIT_MS) return { orders, wrong };
    await Bun.sleep(500);
  }
}

async function allDecided(load: Load): Promise<Order[] | false> {
  const pages = await Promise.all(load.customers.map((customer) => customer.allOrders()));
  const orders = pages.flat();
  const open = orders.filter(({ status }) => !DECIDED.includes(status));
  if (open.length > 0) {
    const counts = [...Map.groupBy(open, ({ status }) => status)].map(
      ([status, of]) => `${of.length} ${status}`,
    );
    throw new Error(
      `of ${orders.length} orders are not decided: ${counts.join(", ")}, among them ${open[0]?.orderId}`,
    );
  }
  return orders;
}

function acceptedOrders(load: Load, orders: readonly Order[]): string[] {
  const known = new Set(orders.map(({ orderId }) => orderId));
  const lost = [...load.accepted.keys()].filter((orderId) => !known.has(orderId));
  const invented = orders.filter(({ orderId }) => !load.accepted.has(orderId));
  return [
    ...lost.map((orderId) => `${orderId} was accepted and is lost`),
    ...invented.map(({ orderId }) => `${orderId} exists and was never accepted`),
    ...(known.size === orders.length ? [] : ["an order is listed twice"]),
  ];
}

async function stockLevels(store: OwnStore, orders: readonly Order[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const { productId, available } of await store.products()) {
    const stock = await store.stock(productId);
    const reserved = orders
      .filter(({ status }) => status === "confirmed")
      .flatMap(({ items }) => items.filter((line) => line.productId === productId))
      .reduce((sum, { quantity }) => sum + quantity, 0);
    if (stock.reserved !== reserved)
      wrong.push(`${productId}: ${stock.reserved} reserved, ${reserved} confirmed`);
    if (stock.available !== available)
      wrong.push(`${productId}: the gateway shows ${available}, the inventory ${stock.available}`);
  }
  return wrong;
}

async function notifications(load: Load): Promise<string[]> {
  const all = (await Promise.all(load.customers.map((customer) => customer.notifications()))).flat();
  const seen = new Set<string>();
  const wrong: string[] = [];
  for (const { orderId, type } of all) {
    if (seen.has(`${orderId} ${type}`) && type !== "order.waiting")
      wrong.push(`${orderId}: ${type} was sent twice`);
    seen.add(`${orderId} ${type}`);
  }
  const missing = [...load.accepted.keys()].filter((orderId) => !seen.has(`${orderId} order.received`));
  return [...wrong, ...missing.map((orderId) => `${orderId}: no order.received notification`)];
}

async function databases(store: OwnStore): Promise<string[]> {
  const wrong: string[] = [];
  for (const { name, file } of store.supervisor.instances) {
    using database = new Database(file, { readonly: true });
    const row = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
    if (row?.integrity_check !== "ok") wrong.push(`${name}: integrity_check: ${row?.integrity_check}`);
    const letters = database
      .query<{ reason: string; error: string }, []>("SELECT reason, error FROM dead_letters")
      .all();
    for (const { reason, error } of letters) wrong.push(`${name}: dead letter, ${reason}: ${error}`);
  }
  for (const [service, instances] of Map.groupBy(store.supervisor.instances, (one) => one.service)) {
    // The others number what they store as they read it.
    if (!replicableServices.includes(service)) continue;
    await untilEqual(instances).catch((error: unknown) => wrong.push(`${service}: ${String(error)}`));
  }
  return wrong;
}
