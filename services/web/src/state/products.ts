import { computed, signal } from "@preact/signals";
import { fetchProducts } from "../api/gateway.ts";
import type { Product } from "../api/types.ts";
import { type Polling, poll } from "./poll.ts";

/** Availability is told to the gateway as it changes; the page asks the gateway so often. */
const POLL_MS = 2_500;
/** After news of an order, its stock has changed too. */
const AFTER_NEWS_MS = 250;

/** What is sold; undefined until it is known for the first time. */
export const products = signal<readonly Product[] | undefined>(undefined);
/** Whether the gateway answered when it was asked last. */
export const gatewayAnswers = signal(true);

export const productsById = computed(
  () => new Map((products.value ?? []).map((product) => [product.productId, product])),
);

let polling: Polling | undefined;
let asked = false;

/** Asks for the products again and again, as long as somebody sees the page. */
export function followProducts(): void {
  polling ??= poll(load, () => POLL_MS);
}

/** Asks again in a moment: once, however often this is called. */
export function refreshProducts(): void {
  if (asked) return;
  asked = true;
  setTimeout(() => {
    asked = false;
    polling?.now();
  }, AFTER_NEWS_MS);
}

async function load(): Promise<void> {
  try {
    const answer = await fetchProducts();
    gatewayAnswers.value = true;
    // The same answer again must not draw the shop again.
    if (JSON.stringify(answer) !== JSON.stringify(products.peek())) products.value = answer;
  } catch (error) {
    gatewayAnswers.value = false;
    throw error;
  }
}

/** The name of a product; its id while it is not known. */
export function nameOf(productId: string): string {
  return productsById.value.get(productId)?.name ?? productId;
}
