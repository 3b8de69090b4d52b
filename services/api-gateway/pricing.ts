import type { Line, Money, PricedLine } from "@distributed-messaging/contracts";
import type { FieldError } from "@distributed-messaging/service/errors";

/** A customer's lines with their prices, or what is wrong with each of them. */
export type Pricing =
  | { readonly items: readonly PricedLine[]; readonly total: Money }
  | { readonly errors: readonly FieldError[] };

/** A customer never sends a price: this is where an order gets it, and it keeps it. */
export function price(lines: readonly Line[], priceOf: (productId: string) => Money | undefined): Pricing {
  const errors: FieldError[] = [];
  const items: PricedLine[] = [];
  const seen = new Set<string>();
  for (const [index, { productId, quantity }] of lines.entries()) {
    const path = `/items/${index}/productId`;
    const unitPrice = priceOf(productId);
    if (seen.has(productId)) errors.push({ path, message: "is in the order more than once" });
    else if (unitPrice === undefined) errors.push({ path, message: "is not a product of this store" });
    else if (unitPrice.currency !== (items[0]?.unitPrice ?? unitPrice).currency) {
      errors.push({ path, message: "is sold in another currency than the lines before it" });
    } else items.push({ productId, quantity, unitPrice });
    seen.add(productId);
  }
  const [first] = items;
  if (errors.length > 0 || first === undefined) return { errors };
  // Exact: 100 lines of 10,000 at the highest price are 10^15, and whole numbers are exact up to 9 × 10^15.
  const amount = items.reduce((sum, line) => sum + line.quantity * line.unitPrice.amount, 0);
  return { items, total: { amount, currency: first.unitPrice.currency } };
}

/** What a customer asks for, as a text that is the same for the same lines in another order. */
export function contentOf(lines: readonly Line[]): string {
  return lines
    .map(({ productId, quantity }) => `${productId}:${quantity}`)
    .sort()
    .join(",");
}
