import { computed, signal } from "@preact/signals";
import { fetchOrder, placeOrder } from "../api/gateway.ts";
import { backoffMs, messageOf, Refused, retryDelayMs } from "../api/request.ts";
import type { Line } from "../api/types.ts";
import { announce } from "./announcer.ts";
import { addLines, emptyBasket, storedBasket } from "./basket.ts";
import {
  countKeptOrders,
  forgetOrder,
  isKept,
  isStored,
  type KeptOrder,
  keepOrder,
  keptOrders,
  prefixOf,
} from "./kept-orders.ts";
import { addSentOrder, listUnsent, loadOrders, markAccepted, removeUnsent } from "./orders.ts";
import { gatewayAnswers, nameOf } from "./products.ts";
import { customerId, token, tokenRefused } from "./session.ts";
import { onStoredElsewhere } from "./storage.ts";
import { countAccepted } from "./throughput.ts";

/**
 * An order that the gateway has not acknowledged. It is kept and sent again, also after a reload, until the gateway accepts
 * or refuses it.
 */
interface UnsentOrder extends KeptOrder {
  /** Whether it outlasts the tab. */
  readonly isStored: boolean;
  /** The requests that failed. */
  readonly failures: number;
  /** Why the last one was refused for now; undefined without an answer. */
  readonly problem?: string | undefined;
}

/** Longer than a request takes (`TIMEOUT_MS` in api/request.ts). */
const MAX_TURN_MS = 10_000;
/** An older order is not sent without its customer: prices and wishes may have changed. */
const MAX_KEPT_DAYS = 7;

const unsent = signal<readonly UnsentOrder[]>([]);

export const sending = computed(() => unsent.value.filter(({ refusal }) => refusal === undefined));
export const refused = computed(() => unsent.value.filter(({ refusal }) => refusal !== undefined));

/** While nobody is signed in: the orders that wait for their customers. */
export const waitingForSignIn = signal(0);

const inFlight = new Set<string>();
const timers = new Map<string, ReturnType<typeof setTimeout>>();

/** Sends the kept orders of whoever is signed in: now, after each sign-in, and when the gateway is back. */
export function resumeSending(): void {
  let before = customerId.peek();
  customerId.subscribe((customer) => {
    // Another tab that clears the storage ends the session, too. What it has sent meanwhile takes effect once all the same.
    for (const order of sending.peek()) {
      if (before !== undefined && !isKept(before, order.orderId)) keepOrder(before, order);
    }
    before = customer;
    for (const orderId of timers.keys()) cancelRetry(orderId);
    unsent.value = [];
    readKept(customer);
  });
  onStoredElsewhere(
    () => prefixOf(customerId.peek()),
    () => readKept(customerId.peek()),
  );
  gatewayAnswers.subscribe((answers) => {
    if (!answers) return;
    for (const orderId of timers.keys()) cancelRetry(orderId);
    sendAll();
  });
  window.addEventListener("beforeunload", (event) => {
    if (sending.peek().some(({ isStored }) => !isStored)) event.preventDefault();
  });
}

/** Takes over what is stored: other tabs have added orders to it, sent them, or had them refused. */
function readKept(customer: string | undefined): void {
  waitingForSignIn.value = customer === undefined ? countKeptOrders() : 0;
  if (customer === undefined) return;
  for (const order of keptOrders(customer)) {
    const { failures = 0, problem } = find(order.orderId) ?? {};
    put(customer, { ...order, failures, problem });
    listUnsent(order);
  }
  for (const { orderId } of unsent.peek()) if (!isKept(customer, orderId)) sentElsewhere(orderId);
  sendAll();
}

/**
 * Places the basket as an order.
 *
 * @returns the order's id; undefined when the basket is empty or nobody is signed in
 */
export function checkOut(): string | undefined {
  const by = customerId.peek();
  if (by === undefined) return undefined;
  const { orderId, lines } = storedBasket();
  if (lines.length === 0) return undefined;
  const order = { orderId, lines, placedAt: Date.now() };
  // First: a browser that ends in between has the order or the basket, both with the same id.
  keepOrder(by, order);
  emptyBasket();
  put(by, { ...order, failures: 0 });
  addSentOrder(order);
  sendAll();
  return orderId;
}

/** Puts the lines of a refused order into the basket, which becomes another order. */
export function changeRefused(orderId: string): void {
  addLines(find(orderId)?.lines ?? []);
  removeRefused(orderId);
}

export function removeRefused(orderId: string): void {
  const by = customerId.peek();
  if (by !== undefined) forgetOrder(by, orderId);
  drop(orderId);
  removeUnsent(orderId);
}

function sendAll(): void {
  for (const { orderId } of sending.peek()) {
    if (!inFlight.has(orderId) && !timers.has(orderId)) void send(orderId);
  }
}

async function send(orderId: string): Promise<void> {
  const by = customerId.peek();
  if (by === undefined) return;
  inFlight.add(orderId);
  await inTurn(orderId, () => sendOnce(by, orderId));
  inFlight.delete(orderId);
  sendAll();
}

/**
 * Runs a task while no other tab sends the order. A tab that the browser has suspended holds it up for MAX_TURN_MS at most:
 * the lock saves requests, and the order's id is what makes it take effect once.
 */
async function inTurn(orderId: string, task: () => Promise<void>): Promise<void> {
  let isTurn = false;
  const run = () => {
    isTurn = true;
    return task();
  };
  const signal = AbortSignal.timeout(MAX_TURN_MS);
  await navigator.locks.request(`store.sending.${orderId}`, { signal }, run).catch(() => {});
  if (!isTurn) await run();
}

/** Never rejects. */
async function sendOnce(by: string, orderId: string): Promise<void> {
  const order = find(orderId);
  const withToken = token.peek();
  // While it waited for its turn another customer may have signed in, or another tab may have sent it.
  if (customerId.peek() !== by || withToken === undefined || order === undefined) return;
  if (!isKept(by, orderId)) return sentElsewhere(orderId);
  try {
    if (isOld(order) && !(await isPlaced(withToken, orderId))) {
      return refuse(by, order, `It was kept here for more than ${MAX_KEPT_DAYS} days, and never sent.`);
    }
    const { replayed } = await placeOrder(withToken, orderId, order.lines);
    forgetOrder(by, orderId);
    if (customerId.peek() !== by) return;
    if (!replayed) countAccepted();
    markAccepted(orderId);
    drop(orderId);
  } catch (error) {
    handleFailure(by, order, error, withToken);
  }
}

function isOld({ placedAt }: KeptOrder): boolean {
  return Date.now() - placedAt > MAX_KEPT_DAYS * 24 * 60 * 60 * 1000;
}

/** Whether the gateway has the order: an answer to an earlier request may have been lost. @throws Refused, Unreachable */
async function isPlaced(withToken: string, orderId: string): Promise<boolean> {
  try {
    await fetchOrder(withToken, orderId);
    return true;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return false;
    throw error;
  }
}

function handleFailure(by: string, order: UnsentOrder, error: unknown, withToken: string): void {
  const { orderId } = order;
  const isRefused = error instanceof Refused;
  if (isRefused && error.status < 500 && error.status !== 429 && error.status !== 401) {
    refuse(by, order, inWords(messageOf(error), order.lines));
    return;
  }
  if (customerId.peek() !== by) return;
  if (isRefused && error.status === 401) {
    tokenRefused(withToken);
    // With a renewed token it is sent again; without one, at the next sign-in.
    if (token.peek() !== undefined) scheduleRetry(orderId, backoffMs(1));
    return;
  }
  const failures = order.failures + 1;
  put(by, { ...order, failures, problem: isRefused ? messageOf(error) : undefined });
  scheduleRetry(orderId, retryDelayMs(error, failures));
}

/** With the name of the product in place of the path of its line (RFC 6901), as the gateway says it. */
function inWords(refusal: string, lines: readonly Line[]): string {
  return refusal.replace(/\/items\/(\d+)\/\w+/g, (path, index) =>
    nameOf(lines[Number(index)]?.productId ?? path),
  );
}

/** Of whoever is signed in or not: the order is told about, and decided on, when they are. */
function refuse(by: string, order: UnsentOrder, refusal: string): void {
  keepOrder(by, { ...order, refusal });
  if (customerId.peek() !== by) return;
  put(by, { ...order, refusal });
  listUnsent({ ...order, refusal });
  announce(`The order was not taken. ${refusal}`);
}

/** Another tab has sent the order, or its customer has removed it there. */
function sentElsewhere(orderId: string): void {
  drop(orderId);
  removeUnsent(orderId);
  void loadOrders().catch(() => {});
}

function scheduleRetry(orderId: string, delayMs: number): void {
  const retry = () => {
    timers.delete(orderId);
    sendAll();
  };
  timers.set(orderId, setTimeout(retry, delayMs));
}

function cancelRetry(orderId: string): void {
  clearTimeout(timers.get(orderId));
  timers.delete(orderId);
}

function find(orderId: string): UnsentOrder | undefined {
  return unsent.peek().find((order) => order.orderId === orderId);
}

function put(customer: string, order: Omit<UnsentOrder, "isStored">): void {
  const others = unsent.peek().filter(({ orderId }) => orderId !== order.orderId);
  const next = { ...order, isStored: isStored(customer, order.orderId) };
  unsent.value = [...others, next].sort((one, other) => one.placedAt - other.placedAt);
}

function drop(orderId: string): void {
  cancelRetry(orderId);
  unsent.value = unsent.peek().filter((order) => order.orderId !== orderId);
}
