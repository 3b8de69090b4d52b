import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import type { Order } from "../support/answers.ts";
import type { OwnStore } from "../support/own-store.ts";
import type { Load } from "./load.ts";

/** Everything that was held up has to come through: minutes of it, when the parts were away for minutes. */
const LIMIT_MS = 180_000;
const ENDED: readonly string[] = ["confirmed", "backordered"];

/** Checks what the store promises once everything runs again. @returns what does not hold */
export async function verdict(store: OwnStore, load: Load): Promise<string[]> {
  const orders = await eventually(() => allEnded(load), "every order to come to its end", LIMIT_MS);
  for (const name of serviceNames) {
    await eventually(
      async () => (await store.metric(name, "outbox_depth")) === 0,
      `the outbox of ${name} to be empty`,
      LIMIT_MS,
    );
  }
  return [
    ...keptAndOnce(load, orders),
    ...(await stockAddsUp(store, orders)),
    ...(await toldOnce(load)),
    ...(await filesAreWhole(store)),
  ];
}

async function allEnded(load: Load): Promise<Order[] | false> {
  const pages = await Promise.all(load.customers.map((customer) => customer.allOrders()));
  const orders = pages.flat();
  const open = orders.filter(({ status }) => !ENDED.includes(status));
  if (open.length > 0)
    throw new Error(`${open.length} of ${orders.length} are open, ${open[0]?.orderId} one of them`);
  return orders;
}

function keptAndOnce(load: Load, orders: readonly Order[]): string[] {
  const known = new Set(orders.map(({ orderId }) => orderId));
  const lost = [...load.accepted.keys()].filter((orderId) => !known.has(orderId));
  const invented = orders.filter(({ orderId }) => !load.accepted.has(orderId));
  return [
    ...lost.map((orderId) => `${orderId} was accepted and is gone`),
    ...invented.map(({ orderId }) => `${orderId} is there and nobody was told that it was accepted`),
    ...(known.size === orders.length ? [] : ["an order is in the lists twice"]),
  ];
}

async function stockAddsUp(store: OwnStore, orders: readonly Order[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const { productId, available } of await store.products()) {
    const stock = await store.stock(productId);
    const reserved = orders
      .filter(({ status }) => status === "confirmed")
      .flatMap(({ items }) => items.filter((line) => line.productId === productId))
      .reduce((sum, { quantity }) => sum + quantity, 0);
    if (stock.reserved !== reserved)
      wrong.push(`${productId}: ${stock.reserved} set aside, ${reserved} confirmed`);
    if (stock.available !== available)
      wrong.push(`${productId}: the gateway shows ${available}, not ${stock.available}`);
  }
  return wrong;
}

async function toldOnce(load: Load): Promise<string[]> {
  const told = (await Promise.all(load.customers.map((customer) => customer.notifications()))).flat();
  const seen = new Set<string>();
  const wrong: string[] = [];
  for (const { orderId, type } of told) {
    if (seen.has(`${orderId} ${type}`) && type !== "order.waiting")
      wrong.push(`${orderId}: ${type} came twice`);
    seen.add(`${orderId} ${type}`);
  }
  const untold = [...load.accepted.keys()].filter((orderId) => !seen.has(`${orderId} order.received`));
  return [...wrong, ...untold.map((orderId) => `${orderId}: its customer was never told`)];
}

async function filesAreWhole(store: OwnStore): Promise<string[]> {
  const wrong: string[] = [];
  for (const name of serviceNames) {
    const [row] = store.rows<{ integrity_check: string }>(name, "PRAGMA integrity_check");
    if (row?.integrity_check !== "ok") wrong.push(`${name}: integrity_check says ${row?.integrity_check}`);
    const letters = store.rows<{ reason: string; error: string }>(
      name,
      "SELECT reason, error FROM dead_letters",
    );
    for (const { reason, error } of letters) wrong.push(`${name}: a dead letter, ${reason}: ${error}`);
  }
  return wrong;
}
