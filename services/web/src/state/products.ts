import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { computed, signal } from "@preact/signals";
import { fetchProducts } from "../api/gateway.ts";
import type { Product } from "../api/types.ts";
import { type Polling, poll } from "./poll.ts";

const POLL_MS = 2_500;
/** The gateway applies a stock change a moment after the notification of its order. */
const REFRESH_DELAY_MS = 250;

/** The catalogue; undefined until the first answer. */
export const products = signal<readonly Product[] | undefined>(undefined);
/** Whether the last request to the gateway was answered. */
export const gatewayAnswers = signal(true);

export const productsById = computed(
  () => new Map((products.value ?? []).map((product) => [product.productId, product])),
);

let polling: Polling | undefined;
let refreshing = false;

/** Polls the catalogue. */
export function followProducts(): void {
  polling ??= poll(load, () => POLL_MS);
}

/** Loads the catalogue after REFRESH_DELAY_MS; further calls until then have no effect. */
export function refreshProducts(): void {
  if (refreshing) return;
  refreshing = true;
  setTimeout(() => {
    refreshing = false;
    polling?.now();
  }, REFRESH_DELAY_MS);
}

async function load(): Promise<void> {
  try {
    const answer = (await fetchProducts()).map((product) => ({
      ...product,
      name: escapeInvisible(product.name),
    }));
    gatewayAnswers.value = true;
    // Avoids rendering an unchanged catalogue.
    if (JSON.stringify(answer) !== JSON.stringify(products.peek())) products.value = answer;
  } catch (error) {
    gatewayAnswers.value = false;
    throw error;
  }
}

/** The name of a product; its id while the name is unknown. */
export function nameOf(productId: string): string {
  return productsById.value.get(productId)?.name ?? productId;
}
