import {
  type DataOf,
  type Emission,
  emission,
  type Money,
  OrderBackordered,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  type PlaceOrder,
  type PricedLine,
  type Shortage,
  type StockRejected,
  type StockReserved,
  type StockShort,
} from "@distributed-messaging/contracts";
import { DomainError } from "@distributed-messaging/messaging/errors";

interface Details {
  readonly orderId: string;
  readonly customerId: string;
  readonly items: readonly PricedLine[];
  readonly total: Money;
}

/** Its stock is being reserved. */
export interface Pending extends Details {
  readonly status: "pending";
}

/** It waits for stock. */
export interface Backordered extends Details {
  readonly status: "backordered";
  readonly shortages: readonly Shortage[];
}

export interface Confirmed extends Details {
  readonly status: "confirmed";
}

export interface Rejected extends Details {
  readonly status: "rejected";
  readonly reason: string;
}

export type Order = Pending | Backordered | Confirmed | Rejected;

/** What happened, or is asked for, and what it says. */
export type Input =
  | { readonly kind: "place"; readonly data: DataOf<typeof PlaceOrder> }
  | { readonly kind: "reserved"; readonly data: DataOf<typeof StockReserved> }
  | { readonly kind: "short"; readonly data: DataOf<typeof StockShort> }
  | { readonly kind: "stock-rejected"; readonly data: DataOf<typeof StockRejected> };

export interface Decision {
  readonly state: Order;
  readonly messages: readonly Emission[];
}

/**
 * What becomes of an order.
 *
 * @param order as it stands; undefined when there is none yet
 * @throws DomainError when this can never happen to such an order
 */
export function decide(order: Order | undefined, input: Input): Decision {
  switch (input.kind) {
    case "place":
      return place(order, input.data);
    case "reserved":
      return confirm(existing(order, input.data.orderId));
    case "short":
      return backorder(existing(order, input.data.orderId), input.data.shortages);
    case "stock-rejected":
      return reject(existing(order, input.data.orderId), input.data.reason);
    default:
      return input satisfies never;
  }
}

function place(order: Order | undefined, data: DataOf<typeof PlaceOrder>): Decision {
  if (order !== undefined) {
    if (!Bun.deepEquals(detailsOf(order), data)) {
      throw new DomainError(`order ${data.orderId} was placed before with other content`);
    }
    return unchanged(order);
  }
  const fault = faultOf(data);
  if (fault !== undefined) throw new DomainError(`order ${data.orderId}: ${fault}`);
  return { state: { status: "pending", ...data }, messages: [emission(OrderPlaced, data)] };
}

/** What the schema cannot say about an order. */
function faultOf({ items, total }: DataOf<typeof PlaceOrder>): string | undefined {
  if (new Set(items.map((line) => line.productId)).size < items.length) return "a product occurs twice";
  if (items.some((line) => line.unitPrice.currency !== total.currency)) return "more than one currency";
  const sum = items.reduce((amount, line) => amount + line.quantity * line.unitPrice.amount, 0);
  return sum === total.amount ? undefined : `its lines come to ${sum}, not ${total.amount}`;
}

function confirm(order: Order): Decision {
  if (order.status !== "pending" && order.status !== "backordered") throw impossible(order, "confirmed");
  return {
    state: { status: "confirmed", ...detailsOf(order) },
    messages: [emission(OrderConfirmed, idsOf(order))],
  };
}

function backorder(order: Order, shortages: readonly Shortage[]): Decision {
  if (order.status !== "pending" && order.status !== "backordered") throw impossible(order, "backordered");
  return {
    state: { status: "backordered", ...detailsOf(order), shortages },
    messages: [emission(OrderBackordered, { ...idsOf(order), shortages: [...shortages] })],
  };
}

function reject(order: Order, reason: string): Decision {
  if (order.status !== "pending") throw impossible(order, "rejected");
  return {
    state: { status: "rejected", ...detailsOf(order), reason },
    messages: [emission(OrderRejected, { ...idsOf(order), reason })],
  };
}

function existing(order: Order | undefined, orderId: string): Order {
  if (order === undefined) throw new DomainError(`there is no order ${orderId}`);
  return order;
}

function unchanged(order: Order): Decision {
  return { state: order, messages: [] };
}

function impossible(order: Order, becomes: string): DomainError {
  return new DomainError(`order ${order.orderId} is ${order.status} and cannot become ${becomes}`);
}

function detailsOf({ orderId, customerId, items, total }: Order): Details {
  return { orderId, customerId, items, total };
}

function idsOf({ orderId, customerId }: Order): { orderId: string; customerId: string } {
  return { orderId, customerId };
}
