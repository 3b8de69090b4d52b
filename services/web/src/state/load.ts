import { signal } from "@preact/signals";
import { restock } from "../api/admin.ts";
import { placeOrder } from "../api/gateway.ts";
import { messageOf, Refused, retryDelayMs } from "../api/request.ts";
import type { Line } from "../api/types.ts";
import { newOrderId } from "./basket.ts";
import { addSentOrder, markAccepted, removeUnsent } from "./orders.ts";
import { products } from "./products.ts";
import { customerId, token, tokenRefused } from "./session.ts";
import { countAccepted } from "./throughput.ts";

/** Concurrent requests: the number of connections that a browser keeps to one host. */
const CONCURRENCY = 6;
/** The orders are spread over this many products, so that they do not all wait for one. */
const SPREAD = 4;

/** The progress of `placeMany`; undefined when it is not running. */
export const load = signal<{ readonly placed: number; readonly of: number } | undefined>(undefined);
export const loadError = signal<string | undefined>(undefined);

/**
 * Places many orders of one item for the customer who is signed in, and retries each until it is accepted. Stops when
 * another customer signs in.
 *
 * @param restockFirst adds the stock for these orders first
 */
export async function placeMany(count: number, restockFirst: boolean): Promise<void> {
  const by = customerId.peek();
  if (by === undefined || load.peek() !== undefined) return;
  const choice = [...(products.peek() ?? [])]
    .sort((one, other) => other.available - one.available)
    .slice(0, SPREAD);
  if (choice.length === 0) return;
  loadError.value = undefined;
  load.value = { placed: 0, of: count };
  try {
    if (restockFirst) {
      const each = Math.ceil(count / choice.length);
      await Promise.all(choice.map(({ productId }) => restock(productId, each)));
    }
    const orders = Array.from({ length: count }, (_, index): Line[] => {
      const { productId } = choice[index % choice.length] ?? { productId: "" };
      return [{ productId, quantity: 1 }];
    }).values();
    const worker = async () => {
      for (const lines of orders) {
        if (customerId.peek() !== by || loadError.peek() !== undefined) return;
        await placeUntilAccepted(by, lines);
        load.value = { placed: (load.peek()?.placed ?? 0) + 1, of: count };
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  } catch (error) {
    loadError.value = messageOf(error);
  } finally {
    load.value = undefined;
  }
}

/** @throws Refused when the gateway refuses the order */
async function placeUntilAccepted(by: string, lines: readonly Line[]): Promise<void> {
  const orderId = newOrderId();
  addSentOrder({ orderId, lines, placedAt: Date.now() });
  for (let failures = 0; customerId.peek() === by; ) {
    const withToken = token.peek() ?? "";
    try {
      const { replayed } = await placeOrder(withToken, orderId, lines);
      if (!replayed) countAccepted();
      markAccepted(orderId);
      return;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) tokenRefused(withToken);
      if (error instanceof Refused && error.status < 500) {
        removeUnsent(orderId);
        throw error;
      }
      failures += 1;
      await new Promise((resolve) => setTimeout(resolve, retryDelayMs(error, failures)));
    }
  }
}
