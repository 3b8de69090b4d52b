import {
  type CancelOrder,
  type CancelReason,
  type Money,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  type PlaceOrder,
  type PricedLine,
  type Shortage,
  type StockRejected,
  type StockReleased,
  type StockReserved,
  type StockShort,
} from "@distributed-messaging/contracts";
import { type DataOf, DomainError, type Emission, emission } from "@distributed-messaging/messaging";

/** What never changes about an order. */
interface Details {
  readonly orderId: string;
  readonly customerId: string;
  readonly items: readonly PricedLine[];
  readonly total: Money;
}

/** Its stock is being reserved. */
interface Pending extends Details {
  readonly status: "pending";
}

/** It waits for stock: there was too little of some product. */
interface Backordered extends Details {
  readonly status: "backordered";
  readonly shortages: readonly Shortage[];
  /** Of the inventory's report that the shortages are from; each report has a higher one. */
  readonly revision: number;
  /** The order is cancelled from this time on, in milliseconds since the epoch. */
  readonly expiresAt: number;
}

interface Confirmed extends Details {
  readonly status: "confirmed";
}

interface Rejected extends Details {
  readonly status: "rejected";
  readonly reason: string;
}

interface Cancelled extends Details {
  readonly status: "cancelled";
  readonly reason: CancelReason;
}

export type Order = Pending | Backordered | Confirmed | Rejected | Cancelled;

/** A message or a timer about an order. */
export type Input =
  | { readonly kind: "place"; readonly data: DataOf<typeof PlaceOrder> }
  | { readonly kind: "cancel"; readonly data: DataOf<typeof CancelOrder> }
  | { readonly kind: "reserved"; readonly data: DataOf<typeof StockReserved> }
  | { readonly kind: "short"; readonly data: DataOf<typeof StockShort> }
  | { readonly kind: "stock-rejected"; readonly data: DataOf<typeof StockRejected> }
  | { readonly kind: "released"; readonly data: DataOf<typeof StockReleased> }
  /** The timer of a backordered order is due. */
  | { readonly kind: "expire"; readonly data: { readonly orderId: string } };

export interface Moment {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** For how long an order may wait for stock, in milliseconds. */
  readonly backorderTtlMs: number;
}

export interface Decision {
  readonly state: Order;
  readonly messages: readonly Emission[];
}

/**
 * Decides what becomes of an order. A backordered order whose deadline has passed is cancelled first, whatever the
 * input is: only this service's clock decides between a deadline and stock that arrives at about the same time.
 *
 * @param order undefined when it is not placed yet
 * @throws DomainError when the input can never be valid for such an order
 */
export function decide(order: Order | undefined, input: Input, moment: Moment): Decision {
  if (order?.status !== "backordered" || moment.now < order.expiresAt) return react(order, input, moment);
  const expired = cancel(order, "backorder_expired");
  const { state, messages } = react(expired.state, input, moment);
  return { state, messages: [...expired.messages, ...messages] };
}

function react(order: Order | undefined, input: Input, moment: Moment): Decision {
  switch (input.kind) {
    case "place":
      return order === undefined ? place(input.data) : placeAgain(order, input.data);
    case "cancel":
      return cancelOnRequest(existing(order, input), input);
    case "reserved":
      return confirm(existing(order, input), input);
    case "short":
      return backorder(existing(order, input), input, moment);
    case "stock-rejected":
      return reject(existing(order, input), input);
    case "released":
    case "expire":
      return acknowledge(existing(order, input), input);
    default:
      return input satisfies never;
  }
}

function place(data: DataOf<typeof PlaceOrder>): Decision {
  const violation = violationOf(data);
  if (violation !== undefined) throw new DomainError(`order ${data.orderId}: ${violation}`);
  return { state: { status: "pending", ...data }, messages: [emission(OrderPlaced, data)] };
}

/**
 * Of two gateways that accepted an order of one name, neither of which knew of the other's yet, the first counts, whatever
 * the content or the prices of the second are: both gateways show what is placed.
 */
function placeAgain(order: Order, { orderId, customerId }: DataOf<typeof PlaceOrder>): Decision {
  if (order.customerId === customerId) return unchanged(order);
  throw new DomainError(`order ${orderId} is of another customer`);
}

/** The rules for an order that its schema cannot express. */
function violationOf({ items, total }: DataOf<typeof PlaceOrder>): string | undefined {
  if (new Set(items.map((line) => line.productId)).size < items.length) return "a product occurs twice";
  if (items.some((line) => line.unitPrice.currency !== total.currency)) return "more than one currency";
  const sum = items.reduce((amount, line) => amount + line.quantity * line.unitPrice.amount, 0);
  return sum === total.amount ? undefined : `the sum of its lines is ${sum}, not ${total.amount}`;
}

/** A command that arrives too late changes nothing; the customer sees the order's status at the gateway. */
function cancelOnRequest(order: Order, { data: { reason } }: Extract<Input, { kind: "cancel" }>): Decision {
  switch (order.status) {
    case "pending":
    case "backordered":
    case "confirmed":
      return cancel(order, reason);
    case "rejected":
    case "cancelled":
      return unchanged(order);
    default:
      return order satisfies never;
  }
}

function cancel(order: Pending | Backordered | Confirmed, reason: CancelReason): Decision {
  return {
    state: { status: "cancelled", ...detailsOf(order), reason },
    messages: [emission(OrderCancelled, { ...idsOf(order), reason })],
  };
}

function confirm(order: Order, input: Input): Decision {
  switch (order.status) {
    case "pending":
    case "backordered":
      return {
        state: { status: "confirmed", ...detailsOf(order) },
        messages: [emission(OrderConfirmed, idsOf(order))],
      };
    case "cancelled":
      // The inventory receives the cancellation after it has reserved, and releases the stock.
      return unchanged(order);
    case "confirmed":
    case "rejected":
      throw impossible(order, input);
    default:
      return order satisfies never;
  }
}

function backorder(order: Order, input: Extract<Input, { kind: "short" }>, moment: Moment): Decision {
  switch (order.status) {
    case "pending":
      return waitForStock(order, input.data, moment.now + moment.backorderTtlMs);
    case "backordered":
      if (input.data.revision <= order.revision) return unchanged(order);
      return waitForStock(order, input.data, order.expiresAt);
    case "cancelled":
      return unchanged(order);
    case "confirmed":
    case "rejected":
      throw impossible(order, input);
    default:
      return order satisfies never;
  }
}

function waitForStock(
  order: Pending | Backordered,
  { shortages, revision }: DataOf<typeof StockShort>,
  expiresAt: number,
): Decision {
  return {
    state: { status: "backordered", ...detailsOf(order), shortages, revision, expiresAt },
    messages: [emission(OrderBackordered, { ...idsOf(order), shortages, revision })],
  };
}

function reject(order: Order, input: Extract<Input, { kind: "stock-rejected" }>): Decision {
  const { reason } = input.data;
  switch (order.status) {
    case "pending":
      return {
        state: { status: "rejected", ...detailsOf(order), reason },
        messages: [emission(OrderRejected, { ...idsOf(order), reason })],
      };
    case "cancelled":
      return unchanged(order);
    case "backordered":
    case "confirmed":
    case "rejected":
      throw impossible(order, input);
    default:
      return order satisfies never;
  }
}

/** Inputs that only follow a cancellation: the released stock, and the timer that led to it. */
function acknowledge(order: Order, input: Input): Decision {
  if (order.status === "cancelled") return unchanged(order);
  throw impossible(order, input);
}

function existing(order: Order | undefined, { kind, data }: Input): Order {
  if (order === undefined) throw new DomainError(`order ${data.orderId} is unknown: ${kind}`);
  return order;
}

function unchanged(order: Order): Decision {
  return { state: order, messages: [] };
}

function impossible({ orderId, status }: Order, { kind }: Input): DomainError {
  return new DomainError(`order ${orderId} is ${status}: ${kind} is not possible`);
}

function detailsOf({ orderId, customerId, items, total }: Order): Details {
  return { orderId, customerId, items, total };
}

function idsOf({ orderId, customerId }: Order): { orderId: string; customerId: string } {
  return { orderId, customerId };
}
