import { computed, effect, signal } from "@preact/signals";
import type { Line } from "../api/types.ts";
import { customerId } from "./session.ts";
import { isRecord, onStoredElsewhere, readStored, writeStored } from "./storage.ts";

/** The most that one line of an order may name, and the most lines: the same limits that the gateway has. */
export const MAX_QUANTITY = 10_000;
export const MAX_LINES = 100;

/**
 * What somebody means to order. It has the id of the order that it will become from its first line on: whichever
 * tab, click or reload sends it, it is the same order.
 */
interface Basket {
  readonly orderId: string;
  readonly lines: readonly Line[];
}

const keyOf = (customer: string | undefined) => `store.basket.${customer ?? ""}`;
const key = () => keyOf(customerId.peek());

export const basket = signal<Basket>(readBasket(key()));

export const itemCount = computed(() => basket.value.lines.reduce((sum, { quantity }) => sum + quantity, 0));

/** Every customer has a basket of their own; one that was filled before signing in goes to who signs in. */
effect(() => {
  const customer = customerId.value;
  let next = readBasket(keyOf(customer));
  if (customer !== undefined && next.lines.length === 0) {
    const anonymous = readBasket(keyOf(undefined));
    if (anonymous.lines.length > 0) {
      next = anonymous;
      writeStored(keyOf(undefined), undefined);
      writeStored(keyOf(customer), next);
    }
  }
  basket.value = next;
});

onStoredElsewhere(key, () => {
  basket.value = readBasket(key());
});

/** Puts as many of a product into the basket; 0 takes it out. */
export function setQuantity(productId: string, quantity: number): void {
  const wanted = Math.min(MAX_QUANTITY, Math.max(0, Math.trunc(quantity) || 0));
  const { orderId, lines } = basket.peek();
  const line = { productId, quantity: wanted };
  const at = lines.findIndex((one) => one.productId === productId);
  const changed = at < 0 ? [...lines, line].slice(0, MAX_LINES) : lines.with(at, line);
  save({ orderId, lines: changed.filter(({ quantity }) => quantity > 0) });
}

export function quantityOf(productId: string): number {
  return basket.value.lines.find((line) => line.productId === productId)?.quantity ?? 0;
}

/** Takes everything out, to be ordered. What another tab has put in or taken out by now counts. */
export function takeBasket(): Basket {
  const taken = readBasket(key());
  save({ orderId: newOrderId(), lines: [] });
  return taken;
}

/** Puts lines back that could not be ordered, beside what is there by now, under a new id. */
export function putBack(lines: readonly Line[]): void {
  const { lines: there } = basket.peek();
  const missing = lines.filter(({ productId }) => !there.some((line) => line.productId === productId));
  save({ orderId: newOrderId(), lines: [...there, ...missing].slice(0, MAX_LINES) });
}

/** An id that nobody else has, and that sorts by time in a list of files. */
export function newOrderId(): string {
  return `W${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 13)}`.toUpperCase();
}

function save(next: Basket): void {
  basket.value = next;
  writeStored(key(), next);
}

function readBasket(from: string): Basket {
  const stored = readStored(from);
  const lines = isRecord(stored) && Array.isArray(stored.lines) ? stored.lines.filter(isLine) : [];
  const orderId = isRecord(stored) && typeof stored.orderId === "string" ? stored.orderId : newOrderId();
  return { orderId, lines };
}

export function isLine(value: unknown): value is Line {
  return (
    isRecord(value) &&
    typeof value.productId === "string" &&
    Number.isInteger(value.quantity) &&
    Number(value.quantity) > 0
  );
}
