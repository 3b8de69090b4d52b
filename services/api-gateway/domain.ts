import type { DataOf } from "@distributed-messaging/contracts";
import {
  type Line,
  type Money,
  OrderBackordered,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  type PricedLine,
  type Shortage,
} from "@distributed-messaging/contracts";
import { DomainError } from "@distributed-messaging/messaging/errors";
import type { FieldError } from "@distributed-messaging/service/errors";

/** An order as its customer sees it. */
export interface OrderView {
  readonly orderId: string;
  readonly customerId: string;
  readonly status: "accepted" | "pending" | "backordered" | "confirmed" | "rejected";
  readonly items: readonly PricedLine[];
  readonly total: Money;
  /** What a waiting order lacks. */
  readonly shortages?: readonly Shortage[];
  /** Why an order came to nothing. */
  readonly reason?: string;
}

/** Prices a customer's lines, or says what is wrong with each of them. */
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
  const amount = items.reduce((sum, line) => sum + line.quantity * line.unitPrice.amount, 0);
  return { items, total: { amount, currency: first.unitPrice.currency } };
}

/** Whether two requests ask for the same: the order of the lines does not matter. */
export function sameContent(some: readonly Line[], others: readonly Line[]): boolean {
  const canonical = (lines: readonly Line[]) =>
    lines
      .map(({ productId, quantity }) => `${productId}:${quantity}`)
      .sort()
      .join(",");
  return canonical(some) === canonical(others);
}

/** What the order service tells of an order. */
export type OrderEvent =
  | { readonly type: typeof OrderPlaced.type; readonly data: DataOf<typeof OrderPlaced> }
  | { readonly type: typeof OrderBackordered.type; readonly data: DataOf<typeof OrderBackordered> }
  | { readonly type: typeof OrderConfirmed.type; readonly data: DataOf<typeof OrderConfirmed> }
  | { readonly type: typeof OrderRejected.type; readonly data: DataOf<typeof OrderRejected> };

/**
 * The view of an order after an event.
 *
 * @param view as it was; undefined when this gateway has not seen the order (its copy is being made anew)
 * @throws DomainError when the event tells of an order whose beginning is unknown
 */
export function project(view: OrderView | undefined, event: OrderEvent): OrderView {
  if (event.type === OrderPlaced.type) {
    return view !== undefined && view.status !== "accepted" ? view : { ...event.data, status: "pending" };
  }
  if (view === undefined) throw new DomainError(`nothing is known of order ${event.data.orderId}`);
  const { orderId, customerId, items, total } = view;
  const order = { orderId, customerId, items, total };
  switch (event.type) {
    case OrderBackordered.type:
      return { ...order, status: "backordered", shortages: event.data.shortages };
    case OrderConfirmed.type:
      return { ...order, status: "confirmed" };
    case OrderRejected.type:
      return { ...order, status: "rejected", reason: event.data.reason };
    default:
      return event satisfies never;
  }
}
