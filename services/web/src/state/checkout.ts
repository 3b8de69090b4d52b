import { signal } from "@preact/signals";
import { placeOrder } from "../api/gateway.ts";
import { backoffMs, messageOf, Refused, retryDelayMs } from "../api/request.ts";
import type { Line } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { announce } from "./announcer.ts";
import { isLine, restoreLines, takeBasket } from "./basket.ts";
import { addSentOrder, markAccepted, removeRefused } from "./orders.ts";
import { customerId, token, tokenRefused } from "./session.ts";
import { onStoredElsewhere, readStored, writeStored } from "./storage.ts";
import { countAccepted } from "./throughput.ts";

/**
 * An order that the gateway has not acknowledged yet. It is stored and sent again, also after a reload, until the gateway
 * accepts or refuses it. Its id stays the same, so it takes effect once.
 */
interface SendingOrder {
  readonly orderId: string;
  readonly lines: readonly Line[];
  /** The number of requests without an answer. */
  readonly failures: number;
}

const keyOf = (customer: string | undefined) => `store.sending.${customer ?? ""}`;

export const sending = signal<readonly SendingOrder[]>([]);
/** The last order that the gateway refused, and the reason. */
export const refusal = signal<{ readonly orderId: string; readonly reason: string } | undefined>(undefined);

const inFlight = new Set<string>();
const timers = new Map<string, ReturnType<typeof setTimeout>>();

/** Sends the stored orders of whoever is signed in, now and after each sign-in. */
export function resumeSending(): void {
  customerId.subscribe((customer) => {
    for (const timer of timers.values()) clearTimeout(timer);
    timers.clear();
    refusal.value = undefined;
    sending.value = customer === undefined ? [] : readSending(customer);
    sendAll();
  });
  onStoredElsewhere(
    () => keyOf(customerId.peek()),
    () => {
      const customer = customerId.peek();
      if (customer === undefined) return;
      const known = new Map(sending.peek().map((order) => [order.orderId, order]));
      const stored = readSending(customer).map((order) => known.get(order.orderId) ?? order);
      for (const orderId of known.keys())
        if (!stored.some((order) => order.orderId === orderId)) cancelRetry(orderId);
      // The tab with the checkout sends the order. This tab takes over when that takes long, as when it was closed.
      for (const { orderId } of stored) if (!known.has(orderId)) scheduleRetry(orderId, backoffMs(2));
      sending.value = stored;
    },
  );
}

/**
 * Places the basket as an order.
 *
 * @returns the order's id; undefined when the basket is empty or nobody is signed in
 */
export function checkOut(): string | undefined {
  if (token.peek() === undefined) return undefined;
  const { orderId, lines } = takeBasket();
  if (lines.length === 0) return undefined;
  refusal.value = undefined;
  save([...sending.peek().filter((order) => order.orderId !== orderId), { orderId, lines, failures: 0 }]);
  addSentOrder(orderId, lines);
  sendAll();
  return orderId;
}

function sendAll(): void {
  for (const order of sending.peek()) {
    if (!inFlight.has(order.orderId) && !timers.has(order.orderId)) void send(order);
  }
}

async function send({ orderId, lines }: SendingOrder): Promise<void> {
  const by = customerId.peek();
  const withToken = token.peek();
  if (by === undefined || withToken === undefined) return;
  inFlight.add(orderId);
  try {
    const { replayed } = await placeOrder(withToken, orderId, lines);
    // Another customer has signed in meanwhile.
    if (customerId.peek() !== by) return;
    if (!replayed) countAccepted();
    markAccepted(orderId);
    cancelRetry(orderId);
    save(sending.peek().filter((order) => order.orderId !== orderId));
  } catch (error) {
    if (customerId.peek() === by) handleFailure(orderId, lines, error, withToken);
  } finally {
    inFlight.delete(orderId);
    sendAll();
  }
}

function handleFailure(orderId: string, lines: readonly Line[], error: unknown, withToken: string): void {
  if (error instanceof Refused && error.status === 401) {
    tokenRefused(withToken);
    // With a renewed token it is sent again; without one, at the next sign-in.
    if (token.peek() !== undefined) scheduleRetry(orderId, backoffMs(1));
    return;
  }
  if (error instanceof Refused && error.status < 500 && error.status !== 429) {
    // The reason first: without it the view of the order would look the order up at the gateway.
    refusal.value = { orderId, reason: messageOf(error) };
    save(sending.peek().filter((order) => order.orderId !== orderId));
    removeRefused(orderId);
    restoreLines(lines);
    announce(`The order was not taken. ${messageOf(error)}`);
    return;
  }
  const failures = (sending.peek().find((order) => order.orderId === orderId)?.failures ?? 0) + 1;
  save(sending.peek().map((order) => (order.orderId === orderId ? { ...order, failures } : order)));
  scheduleRetry(orderId, retryDelayMs(error, failures));
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

function save(next: readonly SendingOrder[]): void {
  sending.value = next;
  writeStored(keyOf(customerId.peek()), next.length === 0 ? undefined : next);
}

function readSending(customer: string): SendingOrder[] {
  const stored = readStored(keyOf(customer));
  if (!Array.isArray(stored)) return [];
  return stored.filter(isSendingOrder).map(({ orderId, lines }) => ({ orderId, lines, failures: 0 }));
}

function isSendingOrder(value: unknown): value is Omit<SendingOrder, "failures"> {
  return (
    isRecord(value) &&
    typeof value.orderId === "string" &&
    Array.isArray(value.lines) &&
    value.lines.every(isLine)
  );
}
