import type { Line, Shortage } from "@distributed-messaging/contracts";

/** What is there of a product. At every commit: onHand = available + reserved, and none is negative. */
export interface Stock {
  readonly productId: string;
  readonly onHand: number;
  readonly reserved: number;
}

/** What an order is given: all of its lines, or nothing. */
export type Reservation =
  | { readonly outcome: "reserved"; readonly stock: readonly Stock[] }
  | { readonly outcome: "short"; readonly shortages: readonly Shortage[] }
  | { readonly outcome: "rejected"; readonly reason: string };

export function availableOf(stock: Stock): number {
  return stock.onHand - stock.reserved;
}

/**
 * Tries to set all lines of an order aside.
 *
 * @param stockOf the stock of a product as it stands; undefined when there is no such product
 * @returns the stock afterwards, of the products that it names; or what is missing; or why it can never be served
 */
export function reserve(
  lines: readonly Line[],
  stockOf: (productId: string) => Stock | undefined,
): Reservation {
  const stock: Stock[] = [];
  const shortages: Shortage[] = [];
  for (const { productId, quantity } of lines) {
    const before = stockOf(productId);
    if (before === undefined) return { outcome: "rejected", reason: `unknown product ${productId}` };
    const missing = quantity - availableOf(before);
    if (missing > 0) shortages.push({ productId, missing });
    stock.push({ ...before, reserved: before.reserved + quantity });
  }
  return shortages.length > 0 ? { outcome: "short", shortages } : { outcome: "reserved", stock };
}
