import {
  type CancelReason,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  type PlaceOrder,
  type StockShort,
} from "@distributed-messaging/contracts";
import { type DataOf, DomainError, emission } from "@distributed-messaging/messaging";
import type { Backordered, Confirmed, Decision, Details, Input, Moment, Order, Pending } from "./state.ts";

export type * from "./state.ts";

/**
 * What becomes of an order. An order that has waited for as long as it may is cancelled first, whatever it is that
 * comes: so only this clock decides between a deadline and the stock that arrives at about the same time.
 *
 * @param order as it stands; undefined when there is none yet
 * @throws DomainError when this can never happen to such an order
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
      return cancelAsAsked(existing(order, input), input);
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
  const fault = faultOf(data);
  if (fault !== undefined) throw new DomainError(`order ${data.orderId}: ${fault}`);
  return { state: { status: "pending", ...data }, messages: [emission(OrderPlaced, data)] };
}

function placeAgain(order: Order, data: DataOf<typeof PlaceOrder>): Decision {
  if (Bun.deepEquals(detailsOf(order), data)) return unchanged(order);
  throw new DomainError(`order ${data.orderId} was placed before with other content`);
}

/** What the schema cannot say about an order. */
function faultOf({ items, total }: DataOf<typeof PlaceOrder>): string | undefined {
  if (new Set(items.map((line) => line.productId)).size < items.length) return "a product occurs twice";
  if (items.some((line) => line.unitPrice.currency !== total.currency)) return "more than one currency";
  const sum = items.reduce((amount, line) => amount + line.quantity * line.unitPrice.amount, 0);
  return sum === total.amount ? undefined : `its lines come to ${sum}, not ${total.amount}`;
}

/** A wish that comes too late changes nothing: to be told so is what the gateway's copy is for. */
function cancelAsAsked(order: Order, { data: { reason } }: Extract<Input, { kind: "cancel" }>): Decision {
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
      // The two crossed. The inventory hears of the cancellation, and gives the stock back.
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
      return waitFor(order, input.data, moment.now + moment.backorderTtlMs);
    case "backordered":
      if (input.data.revision <= order.revision) return unchanged(order);
      return waitFor(order, input.data, order.expiresAt);
    case "cancelled":
      return unchanged(order);
    case "confirmed":
    case "rejected":
      throw impossible(order, input);
    default:
      return order satisfies never;
  }
}

function waitFor(
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

/** What can only follow a cancellation: the stock that was given back, the deadline that led to it. */
function acknowledge(order: Order, input: Input): Decision {
  if (order.status === "cancelled") return unchanged(order);
  throw impossible(order, input);
}

function existing(order: Order | undefined, { kind, data }: Input): Order {
  if (order === undefined)
    throw new DomainError(`there is no order ${data.orderId} that could be told: ${kind}`);
  return order;
}

function unchanged(order: Order): Decision {
  return { state: order, messages: [] };
}

function impossible({ orderId, status }: Order, { kind }: Input): DomainError {
  return new DomainError(`order ${orderId} is ${status}: ${kind} can never happen to it`);
}

function detailsOf({ orderId, customerId, items, total }: Order): Details {
  return { orderId, customerId, items, total };
}

function idsOf({ orderId, customerId }: Order): { orderId: string; customerId: string } {
  return { orderId, customerId };
}
