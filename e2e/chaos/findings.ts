import type { Notification, Order, Stock } from "../support/answers.ts";
import type { Acceptance } from "./load.ts";

/*
 * What is wrong with what was seen of a store once no message is in transit: a sentence for each violation of a promise.
 */

/** The orders of all customers, or their notifications, at one instance. */
export interface Seen<What> {
  readonly instance: string;
  readonly all: readonly What[];
}

/** Orders that were answered with 202, and that no gateway shows. */
export interface Missing {
  readonly violations: readonly string[];
  /** Those of which only one disk was said to have them, and that disk was lost. */
  readonly lost: readonly string[];
}

export function missingOrders(accepted: ReadonlyMap<string, Acceptance>, orders: readonly Order[]): Missing {
  const shown = new Set(orders.map(({ orderId }) => orderId));
  const missing = [...accepted].filter(([orderId]) => !shown.has(orderId));
  const mayBeLost = ({ isReplicated, disk }: Acceptance) => !isReplicated && disk.isLost;
  const [lost, violated] = [true, false].map((is) =>
    missing.filter(([, acceptance]) => mayBeLost(acceptance) === is).map(([orderId]) => orderId),
  );
  return {
    lost: lost ?? [],
    violations: (violated ?? []).map((orderId) => `${orderId} was accepted and is lost`),
  };
}

/** The statuses in which an order stays, unless stock comes in. */
const DECIDED: readonly string[] = ["confirmed", "backordered"];

/** The orders that a gateway shows, by themselves. */
export function wrongOrders(
  accepted: ReadonlyMap<string, Acceptance>,
  { instance, all }: Seen<Order>,
): string[] {
  const invented = all.filter(({ orderId }) => !accepted.has(orderId));
  const open = all.filter(({ status }) => !DECIDED.includes(status));
  return [
    ...invented.map(({ orderId }) => `${instance}: ${orderId} exists and was never accepted`),
    ...open.map(({ orderId, status }) => `${instance}: ${orderId} is ${status} still`),
    ...repeated(all.map(({ orderId }) => orderId)).map(
      (orderId) => `${instance}: ${orderId} is listed twice`,
    ),
  ];
}

/**
 * Where gateways show another order than the first one. When it was placed, and the gateway's own part of its history, are what
 * the gateway that took the request says; another one has them from the order service.
 */
export function differentOrders(gateways: readonly Seen<Order>[]): string[] {
  const same = ({ placedAt: _, updatedAt: __, history, ...order }: Order) => ({
    ...order,
    history: history.filter(({ service }) => service !== "api-gateway"),
  });
  return different(gateways, ({ orderId }) => orderId, same);
}

/** Where notification services have another notification than the first one: `seq` and `cursor` are each one's own. */
export function differentNotifications(services: readonly Seen<Notification>[]): string[] {
  const same = ({ seq: _, cursor: __, ...notification }: Notification) => notification;
  return different(services, ({ notificationId }) => notificationId, same);
}

/** What a customer was told, at one instance or read on at several. @param orders that the gateways show */
export function wrongNotifications(
  { instance, all }: Seen<Notification>,
  orders: readonly Order[],
): string[] {
  const told = all.map(({ orderId, type }) => `${orderId}: ${type}`);
  const expected = orders.flatMap(({ orderId, status }) => [
    `${orderId}: order.received`,
    `${orderId}: ${status === "confirmed" ? "order.confirmed" : "order.waiting"}`,
  ]);
  const known = new Set(orders.map(({ orderId }) => orderId));
  const has = new Set(told);
  const unknown = all.filter(({ orderId }) => !known.has(orderId));
  return [
    ...repeated(told).map((one) => `${instance}: ${one} was told twice`),
    ...expected.filter((one) => !has.has(one)).map((one) => `${instance}: ${one} was not told`),
    ...unknown.map(
      ({ orderId, type }) => `${instance}: ${orderId}: ${type} was told, and no gateway shows it`,
    ),
  ];
}

/** @param available of each product, as the gateway shows it */
export function wrongStock(
  stock: readonly Stock[],
  available: ReadonlyMap<string, number>,
  orders: readonly Order[],
): string[] {
  const lines = orders.filter(({ status }) => status === "confirmed").flatMap(({ items }) => items);
  return stock.flatMap((product) => {
    const { productId } = product;
    const confirmed = lines
      .filter((line) => line.productId === productId)
      .reduce((sum, { quantity }) => sum + quantity, 0);
    const shown = available.get(productId);
    return [
      ...(product.reserved === confirmed
        ? []
        : [`${productId}: ${product.reserved} reserved, ${confirmed} confirmed`]),
      ...(product.available === shown
        ? []
        : [`${productId}: the gateway shows ${shown}, the inventory ${product.available}`]),
    ];
  });
}

function different<What>(
  seen: readonly Seen<What>[],
  idOf: (one: What) => string,
  same: (one: What) => unknown,
): string[] {
  const [first, ...others] = seen;
  if (first === undefined) return ["no instance was asked"];
  const byId = ({ all }: Seen<What>) => new Map(all.map((one) => [idOf(one), same(one)]));
  const ofFirst = byId(first);
  return others.flatMap((other) => {
    const ofOther = byId(other);
    const ids = new Set([...ofFirst.keys(), ...ofOther.keys()]);
    return [...ids]
      .filter((id) => !Bun.deepEquals(ofFirst.get(id), ofOther.get(id)))
      .map((id) => `${other.instance} and ${first.instance} do not show the same ${id}`);
  });
}

function repeated(names: readonly string[]): string[] {
  const counts = Map.groupBy(names, (name) => name);
  return [...counts].filter(([, all]) => all.length > 1).map(([name]) => name);
}
