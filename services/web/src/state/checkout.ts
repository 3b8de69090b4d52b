import { signal } from "@preact/signals";
import { placeOrder } from "../api/gateway.ts";
import { Refused, wordsFor } from "../api/request.ts";
import type { Line } from "../api/types.ts";
import { announce } from "./announcer.ts";
import { backoffMs } from "./backoff.ts";
import { isLine, putBack, takeBasket } from "./basket.ts";
import { countAccepted } from "./meter.ts";
import { noteAccepted, noteRefused, noteSent } from "./orders.ts";
import { customerId, expire, token } from "./session.ts";
import { isRecord, onStoredElsewhere, readStored, writeStored } from "./storage.ts";

/**
 * An order that was sent and not acknowledged yet. It is kept until the gateway says that it has it or will not
 * have it, over reloads too, and sent again meanwhile: always under the same id, so it takes effect once.
 */
interface Sending {
  readonly orderId: string;
  readonly lines: readonly Line[];
  /** How often there was no answer. */
  readonly failures: number;
}

const keyOf = (customer: string | undefined) => `store.sending.${customer ?? ""}`;

export const sending = signal<readonly Sending[]>([]);
/** The last order that was not taken, and why. */
export const refusal = signal<{ readonly orderId: string; readonly reason: string } | undefined>(undefined);

const inFlight = new Set<string>();
const timers = new Map<string, ReturnType<typeof setTimeout>>();

/** Follows who is signed in: what they had sent before a reload is sent again. */
export function resumeSending(): void {
  customerId.subscribe((customer) => {
    for (const timer of timers.values()) clearTimeout(timer);
    timers.clear();
    refusal.value = undefined;
    sending.value = customer === undefined ? [] : readSending(customer);
    pump();
  });
  onStoredElsewhere(
    () => keyOf(customerId.peek()),
    () => {
      const customer = customerId.peek();
      if (customer === undefined) return;
      const known = new Map(sending.peek().map((order) => [order.orderId, order]));
      const there = readSending(customer).map((order) => known.get(order.orderId) ?? order);
      for (const orderId of known.keys())
        if (!there.some((order) => order.orderId === orderId)) drop(orderId);
      // The tab that began it sends it; this one only if that takes long, as when the other was closed.
      for (const { orderId } of there) if (!known.has(orderId)) later(orderId, backoffMs(2));
      sending.value = there;
    },
  );
}

/**
 * Orders what is in the basket.
 *
 * @returns the order's id; undefined when there was nothing to order, or nobody to order it
 */
export function checkOut(): string | undefined {
  if (token.peek() === undefined) return undefined;
  const { orderId, lines } = takeBasket();
  if (lines.length === 0) return undefined;
  refusal.value = undefined;
  send(orderId, lines);
  return orderId;
}

function send(orderId: string, lines: readonly Line[]): void {
  save([...sending.peek().filter((order) => order.orderId !== orderId), { orderId, lines, failures: 0 }]);
  noteSent(orderId, lines);
  pump();
}

function pump(): void {
  for (const order of sending.peek()) {
    if (!inFlight.has(order.orderId) && !timers.has(order.orderId)) void deliver(order);
  }
}

async function deliver({ orderId, lines }: Sending): Promise<void> {
  const by = token.peek();
  if (by === undefined) return;
  inFlight.add(orderId);
  try {
    const { replayed } = await placeOrder(by, orderId, lines);
    // Another customer's page has nothing to do with the answer.
    if (token.peek() !== by) return;
    if (!replayed) countAccepted();
    noteAccepted(orderId);
    drop(orderId);
    save(sending.peek().filter((order) => order.orderId !== orderId));
  } catch (error) {
    if (token.peek() === by) failed(orderId, lines, error);
  } finally {
    inFlight.delete(orderId);
    pump();
  }
}

function failed(orderId: string, lines: readonly Line[], error: unknown): void {
  if (error instanceof Refused && error.status === 401) {
    expire();
    return;
  }
  if (error instanceof Refused && error.status < 500 && error.status !== 429) {
    // First why, then that: nobody is to look for an order that there will never be.
    refusal.value = { orderId, reason: wordsFor(error) };
    save(sending.peek().filter((order) => order.orderId !== orderId));
    noteRefused(orderId);
    putBack(lines);
    announce(`The order was not taken. ${wordsFor(error)}`);
    return;
  }
  const failures = (sending.peek().find((order) => order.orderId === orderId)?.failures ?? 0) + 1;
  save(sending.peek().map((order) => (order.orderId === orderId ? { ...order, failures } : order)));
  const asked = error instanceof Refused ? error.retryAfterMs : undefined;
  later(orderId, asked ?? backoffMs(failures));
}

function later(orderId: string, delayMs: number): void {
  const again = () => {
    timers.delete(orderId);
    pump();
  };
  timers.set(orderId, setTimeout(again, delayMs));
}

function drop(orderId: string): void {
  clearTimeout(timers.get(orderId));
  timers.delete(orderId);
}

function save(next: readonly Sending[]): void {
  sending.value = next;
  writeStored(keyOf(customerId.peek()), next.length === 0 ? undefined : next);
}

function readSending(customer: string): Sending[] {
  const stored = readStored(keyOf(customer));
  if (!Array.isArray(stored)) return [];
  return stored.filter(isSending).map(({ orderId, lines }) => ({ orderId, lines, failures: 0 }));
}

function isSending(value: unknown): value is Sending {
  return (
    isRecord(value) &&
    typeof value.orderId === "string" &&
    Array.isArray(value.lines) &&
    value.lines.every(isLine)
  );
}
