import type { PricedLine } from "./common.ts";

/** A product, its quantity and its price; the currency, where it is not that of the order. */
type StoredLine = readonly [string, number, number, string?];

/** The lines of an order as the text of a column: most of their JSON is the names of fields. */
export function storedLines(lines: readonly PricedLine[], currency: string): string {
  const stored = lines.map(({ productId, quantity, unitPrice }): StoredLine => {
    const line = [productId, quantity, unitPrice.amount] as const;
    return unitPrice.currency === currency ? line : [...line, unitPrice.currency];
  });
  return JSON.stringify(stored);
}

/** @param text of `storedLines` */
export function linesOf(text: string, currency: string): PricedLine[] {
  return (JSON.parse(text) as readonly StoredLine[]).map(
    ([productId, quantity, amount, other = currency]) => ({
      productId,
      quantity,
      unitPrice: { amount, currency: other },
    }),
  );
}
