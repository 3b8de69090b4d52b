import { computed, effect, signal } from "@preact/signals";
import type { Line } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { customerId, isTourCustomer } from "./session.ts";
import { onStoredElsewhere, readStored, writeStored } from "./storage.ts";

/** The limits of the gateway: quantity of a line, lines of an order. */
export const MAX_QUANTITY = 10_000;
const MAX_LINES = 100;

/**
 * The lines to order, and the id of the future order. The id is chosen with the basket, so that sending the same basket
 * from two tabs, twice, or after a reload places one order.
 */
interface Basket {
  readonly orderId: string;
  readonly lines: readonly Line[];
}

const keyOf = (customer: string | undefined) => `store.basket.${customer ?? ""}`;
const key = () => keyOf(customerId.peek());

export const basket = signal<Basket>(readBasket(key()));

/** Whether the browser has stored the last change. */
let isStored = true;

export const itemCount = computed(() => basket.value.lines.reduce((sum, { quantity }) => sum + quantity, 0));

/**
 * Each customer has a basket. On sign-in an empty one takes over the lines of the anonymous basket, which waits while the
 * visitor is a customer of the tour.
 */
effect(() => {
  const customer = customerId.value;
  let next = readBasket(keyOf(customer));
  if (customer !== undefined && !isTourCustomer(customer) && next.lines.length === 0) {
    const anonymous = readBasket(keyOf(undefined));
    if (anonymous.lines.length > 0) {
      next = anonymous;
      writeStored(keyOf(undefined), undefined);
      writeStored(keyOf(customer), next);
    }
  }
  basket.value = next;
  isStored = true;
});

onStoredElsewhere(key, () => {
  basket.value = readBasket(key());
});

/** Sets the quantity of a product; 0 removes its line. */
export function setQuantity(productId: string, quantity: number): void {
  const line = { productId, quantity: Math.min(MAX_QUANTITY, Math.max(0, Math.trunc(quantity) || 0)) };
  const { orderId, lines } = basket.peek();
  const at = lines.findIndex((one) => one.productId === productId);
  const changed = at < 0 ? [...lines, line].slice(0, MAX_LINES) : lines.with(at, line);
  save({ orderId, lines: changed.filter(({ quantity }) => quantity > 0) });
}

export function quantityOf(productId: string): number {
  return basket.value.lines.find((line) => line.productId === productId)?.quantity ?? 0;
}

/** The basket as it is in the storage: other tabs may have changed it. */
export function storedBasket(): Basket {
  return isStored ? readBasket(key()) : basket.peek();
}

export function emptyBasket(): void {
  save({ orderId: newOrderId(), lines: [] });
}

/** Adds lines to the basket, under a new order id. */
export function addLines(added: readonly Line[]): void {
  const quantities = new Map(basket.peek().lines.map(({ productId, quantity }) => [productId, quantity]));
  for (const { productId, quantity } of added)
    quantities.set(productId, Math.min(MAX_QUANTITY, (quantities.get(productId) ?? 0) + quantity));
  const lines = [...quantities].map(([productId, quantity]) => ({ productId, quantity }));
  save({ orderId: newOrderId(), lines: lines.slice(0, MAX_LINES) });
}

/** A unique id that sorts by time. */
export function newOrderId(): string {
  return `W${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 13)}`.toUpperCase();
}

function save(next: Basket): void {
  basket.value = next;
  isStored = writeStored(key(), next);
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
