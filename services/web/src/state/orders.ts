import { signal } from "@preact/signals";
import { fetchOrders } from "../api/gateway.ts";
import { Refused } from "../api/request.ts";
import type { Line, Money, Notification, Order, OrderStatus } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { isLine } from "./basket.ts";
import type { KeptOrder } from "./kept-orders.ts";
import { isMoney, productsById } from "./products.ts";
import { customerId, token, tokenRefused } from "./session.ts";
import { ORDERS_KEY, readStored, writeStored } from "./storage.ts";
import { countConfirmed, countSent } from "./throughput.ts";
import { showHop } from "./traffic.ts";

/** An order in the list. `sending`: not acknowledged by the gateway yet. `refused`: not taken by it, and kept here. */
export interface ListedOrder {
  readonly orderId: string;
  readonly status: OrderStatus | "sending" | "refused";
  readonly lines: readonly Line[];
  /** Undefined while the prices are unknown. */
  readonly total?: Money;
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
  /** The time of the last status change by the store's clock, in milliseconds since the epoch; 0 before the gateway has it. */
  readonly updatedAt: number;
}

/** The oldest orders above this number are removed from the list; they can be loaded again. */
const MAX_LISTED = 2_000;
const PAGE = 50;
/** The copy in this browser is as old as this at most. */
const COPY_MS = 1_000;

const known = new Map<string, ListedOrder>();
let scheduled = false;

/** The customer's orders, newest first. Updated at most every UPDATE_MS. */
export const orders = signal<readonly ListedOrder[]>([]);
/** Whether older orders may exist that are not loaded. */
export const moreOrders = signal(true);

let lastOfPage: string | undefined;
/** What is known from the copy alone, until the gateway's first page. */
let copied: readonly string[] = [];

/** Begins the list anew at each sign-in and sign-out, with what this browser knows of the customer. */
export function resetOrders(): void {
  customerId.subscribe((customer) => {
    known.clear();
    copied = [];
    // One customer's at a time, for as long as they are signed in: whoever is next at this browser finds nothing.
    const copy = readStored(ORDERS_KEY);
    if (customer === undefined || !isRecord(copy) || copy.customerId !== customer) {
      writeStored(ORDERS_KEY, undefined);
    } else if (Array.isArray(copy.orders)) {
      for (const order of copy.orders.filter(isListedOrder)) known.set(order.orderId, order);
      copied = [...known.keys()];
    }
    lastOfPage = undefined;
    moreOrders.value = true;
    orders.value = newestFirst();
  });
}

/** Adds an order that is sent for the first time. */
export function addSentOrder(order: Omit<KeptOrder, "refusal">): void {
  countSent(order.orderId);
  listUnsent(order);
}

/** Lists an order that the gateway has not acknowledged, or has refused. */
export function listUnsent({ orderId, lines, placedAt, refusal }: KeptOrder): void {
  const status = refusal === undefined ? "sending" : "refused";
  const before = known.get(orderId);
  if (before !== undefined && (before.status !== "sending" || status === "sending")) return;
  const total = totalOf(lines);
  put({ orderId, status, lines, ...(total === undefined ? {} : { total }), placedAt, updatedAt: 0 });
}

/** The total at the prices that the page shows, until the gateway's own total is known. */
function totalOf(lines: readonly Line[]): Money | undefined {
  let amount = 0;
  let currency: string | undefined;
  for (const { productId, quantity } of lines) {
    const price = productsById.peek().get(productId)?.price;
    if (price === undefined) return undefined;
    amount += quantity * price.amount;
    currency = price.currency;
  }
  return currency === undefined ? undefined : { amount, currency };
}

/** The gateway has acknowledged the order. */
export function markAccepted(orderId: string): void {
  showHop({ from: "browser", to: "api-gateway", message: "POST /orders" });
  const order = known.get(orderId);
  if (order?.status === "sending") put({ ...order, status: "accepted" });
}

/** The order is no longer kept here. It stays in the list if the gateway has it. */
export function removeUnsent(orderId: string): void {
  const status = known.get(orderId)?.status;
  if (status !== "sending" && status !== "refused") return;
  known.delete(orderId);
  scheduleUpdate();
}

/** Applies an order from the gateway. */
export function applyOrder({ orderId, status, items, total, placedAt, updatedAt }: Order): void {
  const before = known.get(orderId);
  const at = Date.parse(updatedAt);
  // A notification can arrive before the gateway's projection has the same event: the later status is kept.
  const isNewer = before !== undefined && before.updatedAt > at;
  const state = isNewer ? { status: before.status, updatedAt: before.updatedAt } : { status, updatedAt: at };
  put({ orderId, lines: items, total, placedAt: Date.parse(placedAt), ...state });
}

const statusByNotification: ReadonlyMap<string, OrderStatus> = new Map([
  ["order.received", "pending"],
  ["order.waiting", "backordered"],
  ["order.confirmed", "confirmed"],
  ["order.rejected", "rejected"],
  ["order.cancelled", "cancelled"],
]);

const statuses: ReadonlySet<string> = new Set(["accepted", ...statusByNotification.values()]);

/** Applies notifications, oldest first. @returns whether one announces an order that is not listed here */
export function applyNotifications(notifications: readonly Notification[]): boolean {
  let hasUnknown = false;
  for (const { orderId, type, at } of notifications) {
    if (type === "order.confirmed") countConfirmed(orderId);
    const order = known.get(orderId);
    const time = Date.parse(at);
    if (order === undefined) hasUnknown ||= type === "order.received";
    if (order === undefined || time < order.updatedAt) continue;
    put({ ...order, status: statusByNotification.get(type) ?? order.status, updatedAt: time });
  }
  for (const notification of notifications) subscribers.get(notification.orderId)?.(notification);
  return hasUnknown;
}

const subscribers = new Map<string, (notification: Notification) => void>();

/** Calls back with each notification of one order. @returns unsubscribes */
export function onNotification(orderId: string, callback: (notification: Notification) => void): () => void {
  subscribers.set(orderId, callback);
  return () => subscribers.delete(orderId);
}

/** Loads the newest orders, or with `older` the next page. @throws Refused, Unreachable */
export async function loadOrders(older = false): Promise<void> {
  const by = customerId.peek();
  const withToken = token.peek();
  if (withToken === undefined) return;
  let page: readonly Order[];
  try {
    page = await fetchOrders(withToken, PAGE, older ? lastOfPage : undefined);
  } catch (error) {
    // After a start from empty data the store signs with another key, and the token is invalid.
    if (error instanceof Refused && error.status === 401) tokenRefused(withToken);
    throw error;
  }
  if (customerId.peek() !== by) return;
  for (const order of page) applyOrder(order);
  removeCopied(new Set(page.map(({ orderId }) => orderId)));
  if (older || lastOfPage === undefined) {
    lastOfPage = page.at(-1)?.orderId ?? lastOfPage;
    moreOrders.value = page.length === PAGE;
  }
}

/** The gateway's page takes the place of the copy: between the two may be orders that are in neither. */
function removeCopied(onPage: ReadonlySet<string>): void {
  const removed = copied.filter((orderId) => !onPage.has(orderId));
  copied = [];
  if (removed.length === 0) return;
  for (const orderId of removed) known.delete(orderId);
  scheduleUpdate();
}

function put(order: ListedOrder): void {
  known.set(order.orderId, order);
  scheduleUpdate();
}

/** A timer instead of an animation frame: a hidden page gets no frames and must keep up all the same. */
const UPDATE_MS = 50;

function scheduleUpdate(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    const sorted = newestFirst();
    for (const { orderId } of sorted.splice(MAX_LISTED)) known.delete(orderId);
    orders.value = sorted;
    scheduleCopy();
  }, UPDATE_MS);
}

function newestFirst(): ListedOrder[] {
  return [...known.values()].sort((one, other) => other.placedAt - one.placedAt);
}

let copying = false;

/** Copies the newest orders that the gateway has, for a page that is opened while it is down. */
function scheduleCopy(): void {
  if (copying) return;
  copying = true;
  setTimeout(() => {
    copying = false;
    const customer = customerId.peek();
    if (customer === undefined) return;
    const placed = orders.peek().filter(({ status }) => status !== "sending" && status !== "refused");
    writeStored(ORDERS_KEY, { customerId: customer, orders: placed.slice(0, PAGE) });
  }, COPY_MS);
}

function isListedOrder(value: unknown): value is ListedOrder {
  return (
    isRecord(value) &&
    typeof value.orderId === "string" &&
    /^[\w-]{1,64}$/.test(value.orderId) &&
    typeof value.status === "string" &&
    statuses.has(value.status) &&
    Array.isArray(value.lines) &&
    value.lines.every(isLine) &&
    (value.total === undefined || isMoney(value.total)) &&
    typeof value.placedAt === "number" &&
    typeof value.updatedAt === "number"
  );
}
