import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { computed, signal } from "@preact/signals";
import { fetchProducts } from "../api/gateway.ts";
import { Refused } from "../api/request.ts";
import type { Money, Product } from "../api/types.ts";
import { isRecord } from "../json.ts";
import { type Polling, poll } from "./poll.ts";
import { PRODUCTS_KEY, readStored, writeStored } from "./storage.ts";

const POLL_MS = 2_500;
/** The gateway applies a stock change a moment after the notification of its order. */
const REFRESH_DELAY_MS = 250;

/** The catalogue: the last one that this browser has seen, until the first answer; undefined if it has seen none. */
export const products = signal<readonly Product[] | undefined>(readProducts());
/** Whether the last request to the gateway was answered. */
export const gatewayAnswers = signal(true);
/** What the page says while it does not answer. */
export const UNREACHABLE =
  "The store cannot be reached. What you order is kept in this browser and is sent when the store is back.";

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
    if (JSON.stringify(answer) === JSON.stringify(products.peek())) return;
    products.value = answer;
    writeStored(PRODUCTS_KEY, answer);
  } catch (error) {
    // A proxy says 502 or 504 when it does not reach the gateway (RFC 9110 §15.6).
    gatewayAnswers.value = error instanceof Refused && error.status !== 502 && error.status !== 504;
    throw error;
  }
}

function readProducts(): readonly Product[] | undefined {
  const stored = readStored(PRODUCTS_KEY);
  return Array.isArray(stored) && stored.every(isProduct) ? stored : undefined;
}

function isProduct(value: unknown): value is Product {
  return (
    isRecord(value) &&
    typeof value.productId === "string" &&
    typeof value.name === "string" &&
    isMoney(value.price) &&
    typeof value.available === "number"
  );
}

export function isMoney(value: unknown): value is Money {
  return (
    isRecord(value) &&
    typeof value.amount === "number" &&
    typeof value.currency === "string" &&
    /^[A-Z]{3}$/.test(value.currency)
  );
}

/** The name of a product; its id while the name is unknown. */
export function nameOf(productId: string): string {
  return productsById.value.get(productId)?.name ?? productId;
}
