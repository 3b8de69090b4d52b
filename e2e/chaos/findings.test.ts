import { expect, test } from "bun:test";
import type { Notification, Order } from "../support/answers.ts";
import { Disks } from "./disks.ts";
import {
  differentNotifications,
  differentOrders,
  missingOrders,
  wrongNotifications,
  wrongOrders,
  wrongStock,
} from "./findings.ts";
import type { Acceptance } from "./load.ts";

const AT = "2026-11-28T00:00:00.000Z";

function order(orderId: string, changes: Partial<Order> = {}): Order {
  const unitPrice = { amount: 100, currency: "EUR" };
  return {
    ...{ orderId, customerId: "CUSTOMER", status: "confirmed", placedAt: AT, updatedAt: AT },
    items: [{ productId: "CUP", quantity: 2, unitPrice }],
    total: { amount: 200, currency: "EUR" },
    history: [{ at: AT, type: "store.order.placed.v1", service: "order" }],
    ...changes,
  };
}

function notification(orderId: string, type: string, changes: Partial<Notification> = {}): Notification {
  const id = `${orderId} ${type}`;
  return { ...{ seq: 1, notificationId: id, orderId, type, message: id, at: AT, cursor: "cA" }, ...changes };
}

const told = (orderId: string) => [
  notification(orderId, "order.received"),
  notification(orderId, "order.confirmed"),
];
const at = <What>(instance: string, ...all: readonly What[]) => ({ instance, all });

function accepted(...orderIds: readonly string[]): Map<string, Acceptance> {
  return new Map(
    orderIds.map((orderId) => [orderId, { isReplicated: false, disk: new Disks().of("api-gateway") }]),
  );
}

test("an order that was accepted and is not shown is lost", () => {
  const { violations, lost } = missingOrders(accepted("ONE", "TWO"), [order("ONE")]);
  expect(violations).toEqual(["TWO was accepted and is lost"]);
  expect(lost).toEqual([]);
  expect(missingOrders(accepted("ONE"), [order("ONE")])).toEqual({ violations: [], lost: [] });
});

test("only an order that a disk alone had may be missing, and only if that very disk is lost", () => {
  const disks = new Disks();
  const take = (name: string, isReplicated: boolean): Acceptance => ({ isReplicated, disk: disks.of(name) });
  const all = new Map([
    ["LOCAL", take("api-gateway", false)],
    ["REPLICATED", take("api-gateway", true)],
    ["ELSEWHERE", take("api-gateway-2", false)],
  ]);
  disks.lose("api-gateway");
  all.set("AFTERWARDS", take("api-gateway", false));
  // One that nobody has used.
  disks.lose("api-gateway-3");
  const { violations, lost } = missingOrders(all, []);
  expect(lost).toEqual(["LOCAL"]);
  expect(violations.map((text) => text.split(" ")[0])).toEqual(["REPLICATED", "ELSEWHERE", "AFTERWARDS"]);
  // It may also be there: it was sent before the disk was lost.
  expect(
    missingOrders(
      all,
      [...all.keys()].map((id) => order(id)),
    ),
  ).toEqual({ violations: [], lost: [] });
});

test("an order that nobody placed, that is listed twice, or that has not ended is wrong", () => {
  const isWrong = (...orders: readonly Order[]) =>
    wrongOrders(accepted("ONE"), at("api-gateway-2", ...orders));
  expect(isWrong(order("ONE"))).toEqual([]);
  expect(isWrong(order("ONE", { status: "backordered" }))).toEqual([]);
  expect(isWrong(order("TWO"))).toEqual(["api-gateway-2: TWO exists and was never accepted"]);
  expect(isWrong(order("ONE"), order("ONE"))).toEqual(["api-gateway-2: ONE is listed twice"]);
  for (const status of ["accepted", "pending", "rejected", "cancelled"] as const)
    expect(isWrong(order("ONE", { status }))).toEqual([`api-gateway-2: ONE is ${status} still`]);
});

test("gateways show the same orders, but for when and by whom they were taken", () => {
  const taken = order("ONE", {
    placedAt: "2026-11-27T00:00:00.000Z",
    updatedAt: "2026-11-29T00:00:00.000Z",
    history: [
      { at: AT, type: "store.order.place.v1", service: "api-gateway" },
      { at: AT, type: "store.order.placed.v1", service: "order" },
    ],
  });
  const differ = (...orders: readonly Order[]) =>
    differentOrders([at("api-gateway", order("ONE")), at("api-gateway-2", ...orders)]);
  expect(differ(taken)).toEqual([]);
  for (const other of [
    order("ONE", { status: "backordered" }),
    order("ONE", { customerId: "ANOTHER" }),
    order("ONE", { total: { amount: 201, currency: "EUR" } }),
    order("ONE", { items: [] }),
    order("ONE", { history: [] }),
    order("ONE", { history: [{ at: AT, type: "store.order.confirmed.v1", service: "order" }] }),
  ])
    expect(differ(other)).toEqual(["api-gateway-2 and api-gateway do not show the same ONE"]);
  expect(differ()).toHaveLength(1);
  expect(differ(order("ONE"), order("TWO"))).toEqual([
    "api-gateway-2 and api-gateway do not show the same TWO",
  ]);
  expect(differentOrders([])).toHaveLength(1);
});

test("each customer is told once of what became of each order, and of no other", () => {
  const isWrong = (orders: readonly Order[], ...all: readonly Notification[]) =>
    wrongNotifications(at("notification", ...all), orders);
  const [received = notification("", ""), confirmed = notification("", "")] = told("ONE");
  expect(isWrong([order("ONE")], received, confirmed)).toEqual([]);
  const waiting = notification("ONE", "order.waiting");
  expect(isWrong([order("ONE")], received, waiting, confirmed)).toEqual([]);
  expect(isWrong([order("ONE", { status: "backordered" })], received, waiting)).toEqual([]);
  for (const twice of [received, waiting, confirmed])
    expect(
      isWrong([order("ONE")], received, waiting, confirmed, { ...twice, notificationId: "another" }),
    ).toEqual([`notification: ONE: ${twice.type} was told twice`]);
  expect(isWrong([order("ONE")], confirmed)).toEqual(["notification: ONE: order.received was not told"]);
  expect(isWrong([order("ONE")], received)).toEqual(["notification: ONE: order.confirmed was not told"]);
  expect(isWrong([order("ONE", { status: "backordered" })], received)).toEqual([
    "notification: ONE: order.waiting was not told",
  ]);
  expect(isWrong([], received)).toEqual([
    "notification: ONE: order.received was told, and no gateway shows it",
  ]);
});

test("notification services have the same notifications, under their own numbers", () => {
  const [received = notification("", ""), confirmed = notification("", "")] = told("ONE");
  const differ = (...all: readonly Notification[]) =>
    differentNotifications([at("notification", received, confirmed), at("notification-2", ...all)]);
  expect(differ({ ...confirmed, seq: 7, cursor: "cB" }, { ...received, seq: 8 })).toEqual([]);
  expect(differ(received)).toEqual([
    "notification-2 and notification do not show the same ONE order.confirmed",
  ]);
  expect(differ(received, { ...confirmed, message: "another" })).toHaveLength(1);
  expect(differ(received, { ...confirmed, notificationId: "another" })).toHaveLength(2);
});

test("what is reserved is what is confirmed, and the gateway shows what is available", () => {
  const product = { productId: "CUP", name: "Cup", price: { amount: 100, currency: "EUR" } };
  const isWrong = (reserved: number, available: number, shown: number) =>
    wrongStock(
      [{ ...product, onHand: reserved + available, reserved, available }],
      new Map([["CUP", shown]]),
      [order("ONE"), order("TWO"), order("THREE", { status: "backordered" })],
    );
  expect(isWrong(4, 6, 6)).toEqual([]);
  expect(isWrong(2, 8, 8)).toEqual(["CUP: 2 reserved, 4 confirmed"]);
  expect(isWrong(4, 6, 7)).toEqual(["CUP: the gateway shows 7, the inventory 6"]);
});
