import { signal } from "@preact/signals";
import { placeOrder, restock } from "../api/gateway.ts";
import { Refused, wordsFor } from "../api/request.ts";
import type { Line } from "../api/types.ts";
import { backoffMs } from "./backoff.ts";
import { newOrderId } from "./basket.ts";
import { countAccepted } from "./meter.ts";
import { noteAccepted, noteRefused, noteSent } from "./orders.ts";
import { products } from "./products.ts";
import { adminToken, expire, token } from "./session.ts";

/** How many requests are under way at once: as many as a browser keeps connections to one place. */
const CONCURRENCY = 6;
/** What is ordered is taken from this many products, so that no single one is what everything waits for. */
const SPREAD = 4;

/** How the orders that are being placed are doing; undefined while none are. */
export const load = signal<{ readonly placed: number; readonly of: number } | undefined>(undefined);
export const loadError = signal<string | undefined>(undefined);

/**
 * Places many small orders for who is signed in, a few at a time, each as often as it takes. Stops when somebody else
 * signs in.
 *
 * @param stockUp asks for the stock that they need first
 */
export async function placeMany(count: number, stockUp: boolean): Promise<void> {
  const by = token.peek();
  if (by === undefined || load.peek() !== undefined) return;
  const choice = [...(products.peek() ?? [])]
    .sort((one, other) => other.available - one.available)
    .slice(0, SPREAD);
  if (choice.length === 0) return;
  loadError.value = undefined;
  load.value = { placed: 0, of: count };
  try {
    if (stockUp)
      await stock(
        choice.map(({ productId }) => productId),
        count,
      );
    const lines = Array.from({ length: count }, (_, index): Line[] => {
      const { productId } = choice[index % choice.length] ?? { productId: "" };
      return [{ productId, quantity: 1 }];
    }).values();
    const worker = async () => {
      for (const order of lines) {
        if (token.peek() !== by || loadError.peek() !== undefined) return;
        await placeSurely(by, order);
        load.value = { placed: (load.peek()?.placed ?? 0) + 1, of: count };
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  } catch (error) {
    loadError.value = wordsFor(error);
  } finally {
    load.value = undefined;
  }
}

async function stock(productIds: readonly string[], count: number): Promise<void> {
  const admin = await adminToken();
  const each = Math.ceil(count / productIds.length);
  await Promise.all(productIds.map((productId) => restock(admin, productId, each)));
}

/** Sends one order until the store has it. @throws Refused when the store will not have it */
async function placeSurely(by: string, lines: readonly Line[]): Promise<void> {
  const orderId = newOrderId();
  noteSent(orderId, lines);
  for (let failures = 0; token.peek() === by; ) {
    try {
      const { replayed } = await placeOrder(by, orderId, lines);
      if (!replayed) countAccepted();
      noteAccepted(orderId);
      return;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) expire();
      if (error instanceof Refused && error.status < 500) {
        noteRefused(orderId);
        throw error;
      }
      failures += 1;
      const asked = error instanceof Refused ? error.retryAfterMs : undefined;
      await new Promise((resolve) => setTimeout(resolve, asked ?? backoffMs(failures)));
    }
  }
}
