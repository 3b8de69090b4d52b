import { signal } from "@preact/signals";
import { fetchOrders } from "../api/gateway.ts";
import { Refused } from "../api/request.ts";
import type { Line, Money, Notification, NotificationType, Order, OrderStatus } from "../api/types.ts";
import { countConfirmed, countSent } from "./meter.ts";
import { productsById } from "./products.ts";
import { customerId, expire, token } from "./session.ts";

/** An order as the list shows it. `sending`: the gateway has not said yet that it has it. */
export interface ListedOrder {
  readonly orderId: string;
  readonly status: OrderStatus | "sending";
  readonly lines: readonly Line[];
  /** Undefined while the prices are not known. */
  readonly total?: Money;
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
  /** When its status came about, by the store's clock; 0 for an order that is on its way. */
  readonly updatedAt: number;
}

/** The oldest of more are forgotten, and can be asked for again. */
const MAX_LISTED = 2_000;
const PAGE = 50;

const known = new Map<string, ListedOrder>();
let scheduled = false;

/** The orders of who is signed in, newest first. Changes at most once a frame, however much happens. */
export const orders = signal<readonly ListedOrder[]>([]);
/** Whether there may be older ones that were not asked for yet. */
export const moreOrders = signal(true);

let lastOfPage: string | undefined;

/** Begins anew for whoever is signed in now. Nothing of the one before is left. */
export function resetOrders(): void {
  customerId.subscribe(() => {
    known.clear();
    lastOfPage = undefined;
    moreOrders.value = true;
    orders.value = [];
  });
}

/** An order was sent; the gateway may or may not have it by now. */
export function noteSent(orderId: string, lines: readonly Line[]): void {
  countSent(orderId);
  if (known.has(orderId)) return;
  const total = priceSeen(lines);
  put({
    orderId,
    status: "sending",
    lines,
    ...(total === undefined ? {} : { total }),
    placedAt: Date.now(),
    updatedAt: 0,
  });
}

/** What the lines cost as the page shows them; the gateway's own figure takes its place. */
function priceSeen(lines: readonly Line[]): Money | undefined {
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

/** The gateway has acknowledged an order. */
export function noteAccepted(orderId: string): void {
  const order = known.get(orderId);
  if (order?.status === "sending") put({ ...order, status: "accepted" });
}

/** An order that the gateway will not have. */
export function noteRefused(orderId: string): void {
  if (known.get(orderId)?.status !== "sending") return;
  known.delete(orderId);
  schedule();
}

/** The gateway's own view of an order. */
export function noteOrder({ orderId, status, items, total, placedAt, updatedAt }: Order): void {
  const before = known.get(orderId);
  const at = Date.parse(updatedAt);
  // The news may be ahead of the gateway's copy: the two are told separately.
  const newer = before !== undefined && before.updatedAt > at;
  const now = newer ? { status: before.status, updatedAt: before.updatedAt } : { status, updatedAt: at };
  put({ orderId, lines: items, total, placedAt: Date.parse(placedAt), ...now });
}

const statusOf: Readonly<Record<NotificationType, OrderStatus>> = {
  "order.received": "pending",
  "order.waiting": "backordered",
  "order.confirmed": "confirmed",
  "order.rejected": "rejected",
  "order.cancelled": "cancelled",
};

/** News of some orders, oldest first. @returns whether some of them were placed elsewhere, and are not listed here */
export function noteNews(news: readonly Notification[]): boolean {
  let strangers = false;
  for (const { orderId, type, at } of news) {
    if (type === "order.confirmed") countConfirmed(orderId);
    const order = known.get(orderId);
    const time = Date.parse(at);
    if (order === undefined) strangers ||= type === "order.received";
    if (order === undefined || time < order.updatedAt) continue;
    put({ ...order, status: statusOf[type] ?? order.status, updatedAt: time });
  }
  for (const one of news) newsOf.get(one.orderId)?.(one);
  return strangers;
}

const newsOf = new Map<string, (news: Notification) => void>();

/** Calls back with news of one order, as soon as there is any. @returns ends it */
export function onNewsOf(orderId: string, callback: (news: Notification) => void): () => void {
  newsOf.set(orderId, callback);
  return () => newsOf.delete(orderId);
}

/** Asks for the newest orders, or for the page after those that were asked for. @throws Refused, Unreachable */
export async function loadOrders(older = false): Promise<void> {
  const by = token.peek();
  if (by === undefined) return;
  let page: readonly Order[];
  try {
    page = await fetchOrders(by, PAGE, older ? lastOfPage : undefined);
  } catch (error) {
    // The token may be of a store that has been started from empty data since.
    if (error instanceof Refused && error.status === 401 && token.peek() === by) expire();
    throw error;
  }
  if (token.peek() !== by) return;
  for (const order of page) noteOrder(order);
  if (older || lastOfPage === undefined) {
    lastOfPage = page.at(-1)?.orderId ?? lastOfPage;
    moreOrders.value = page.length === PAGE;
  }
}

function put(order: ListedOrder): void {
  known.set(order.orderId, order);
  schedule();
}

/** A hidden page gets no frames, and still has to keep up. */
const FRAME_MS = 50;

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    const sorted = [...known.values()].sort((one, other) => other.placedAt - one.placedAt);
    for (const { orderId } of sorted.splice(MAX_LISTED)) known.delete(orderId);
    orders.value = sorted;
  }, FRAME_MS);
}
