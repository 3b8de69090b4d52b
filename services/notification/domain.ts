import {
  type CancelReason,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
} from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";

export type NotificationType =
  | "order.received"
  | "order.waiting"
  | "order.confirmed"
  | "order.rejected"
  | "order.cancelled";

/** The events of which customers are notified. */
export type OrderEvent =
  | { readonly type: typeof OrderPlaced.type; readonly data: DataOf<typeof OrderPlaced> }
  | { readonly type: typeof OrderBackordered.type; readonly data: DataOf<typeof OrderBackordered> }
  | { readonly type: typeof OrderConfirmed.type; readonly data: DataOf<typeof OrderConfirmed> }
  | { readonly type: typeof OrderRejected.type; readonly data: DataOf<typeof OrderRejected> }
  | { readonly type: typeof OrderCancelled.type; readonly data: DataOf<typeof OrderCancelled> };

/** The text of a notification. */
interface Wording {
  readonly type: NotificationType;
  readonly message: string;
}

/** Words an event for its customer. @param name the customer's own name for the order */
export function wordingOf({ type, data }: OrderEvent, name: string): Wording {
  const order = `Your order ${name}`;
  switch (type) {
    case OrderPlaced.type: {
      const items = data.items.map(({ productId, quantity }) => `${quantity} × ${productId}`);
      return {
        type: "order.received",
        message: `We have received your order ${name}: ${listOf(items)}, ${amountOf(data.total)} in all.`,
      };
    }
    case OrderBackordered.type: {
      const shortages = data.shortages.map(({ productId, missing }) => `${missing} × ${productId}`);
      return {
        type: "order.waiting",
        message: `${order} waits: we are short of ${listOf(shortages)}. It goes on by itself as soon as we have enough.`,
      };
    }
    case OrderConfirmed.type:
      return {
        type: "order.confirmed",
        message: `${order} is confirmed: everything in it is reserved for you.`,
      };
    case OrderRejected.type:
      return {
        type: "order.rejected",
        message: `We cannot fulfil your order ${name}: ${data.reason}.`,
      };
    case OrderCancelled.type:
      return { type: "order.cancelled", message: `${order} is cancelled${because(data.reason)}.` };
    default:
      return type satisfies never;
  }
}

function because(reason: CancelReason): string {
  switch (reason) {
    case "customer_request":
      return ", as you asked";
    case "backorder_expired":
      return ": we are sorry, what it waited for has not come in in time";
    default:
      return reason satisfies never;
  }
}

/** Long lists are cut, so that a notification stays short. */
const MAX_LISTED = 5;

function listOf(things: readonly string[]): string {
  const more = things.length - MAX_LISTED;
  if (more <= 1) return things.join(", ");
  return `${things.slice(0, MAX_LISTED).join(", ")} and ${more} more products`;
}

/** `40.00 EUR`. The minor units of every currency of the store are hundredths. */
function amountOf({ amount, currency }: { amount: number; currency: string }): string {
  return `${Math.floor(amount / 100)}.${String(amount % 100).padStart(2, "0")} ${currency}`;
}
