import {
  type DataOf,
  OrderBackordered,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
} from "@distributed-messaging/contracts";

export type NotificationType = "order.received" | "order.waiting" | "order.confirmed" | "order.rejected";

/** The events that customers are told of. */
export type OrderEvent =
  | { readonly type: typeof OrderPlaced.type; readonly data: DataOf<typeof OrderPlaced> }
  | { readonly type: typeof OrderBackordered.type; readonly data: DataOf<typeof OrderBackordered> }
  | { readonly type: typeof OrderConfirmed.type; readonly data: DataOf<typeof OrderConfirmed> }
  | { readonly type: typeof OrderRejected.type; readonly data: DataOf<typeof OrderRejected> };

export interface Wording {
  readonly type: NotificationType;
  readonly message: string;
}

/** What to tell a customer of an event, in words that they would want to read. */
export function wordingOf({ type, data }: OrderEvent): Wording {
  switch (type) {
    case OrderPlaced.type:
      return {
        type: "order.received",
        message: `We have received your order ${data.orderId} over ${amountOf(data.total)}.`,
      };
    case OrderBackordered.type:
      return {
        type: "order.waiting",
        message: `Your order ${data.orderId} waits: we are out of ${data.shortages
          .map(({ productId, missing }) => `${missing} × ${productId}`)
          .join(", ")}. It goes on by itself as soon as they are back.`,
      };
    case OrderConfirmed.type:
      return {
        type: "order.confirmed",
        message: `Your order ${data.orderId} is confirmed: everything in it is set aside for you.`,
      };
    case OrderRejected.type:
      return {
        type: "order.rejected",
        message: `We cannot fulfil your order ${data.orderId}: ${data.reason}.`,
      };
    default:
      return type satisfies never;
  }
}

/** `40.00 EUR`: minor units of every currency that the store takes are hundredths. */
function amountOf({ amount, currency }: { amount: number; currency: string }): string {
  return `${Math.floor(amount / 100)}.${String(amount % 100).padStart(2, "0")} ${currency}`;
}
