import {
  CancelOrder,
  type Money,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  PlaceOrder,
  type PricedLine,
  type Shortage,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";

/** What never changes about an order. */
export interface PlacedOrder {
  readonly orderId: string;
  readonly customerId: string;
  readonly items: readonly PricedLine[];
  readonly total: Money;
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
}

export type Status = "accepted" | "pending" | "backordered" | "confirmed" | "rejected" | "cancelled";

/** A message that told something of an order. */
export type Step = {
  /** The message's own id, and the id of what caused it. */
  readonly id: string;
  readonly cause: string;
  /** When it was emitted, in milliseconds since the epoch, by the clock of the service that did. */
  readonly at: number;
  readonly service: string;
} & (
  | {
      readonly type:
        | typeof PlaceOrder.type
        | typeof CancelOrder.type
        | typeof OrderPlaced.type
        | typeof OrderConfirmed.type
        | typeof StockReserved.type
        | typeof StockRejected.type
        | typeof StockReleased.type;
    }
  | { readonly type: typeof StockShort.type; readonly revision: number }
  | {
      readonly type: typeof OrderBackordered.type;
      readonly shortages: readonly Shortage[];
      readonly revision: number;
    }
  | { readonly type: typeof OrderRejected.type | typeof OrderCancelled.type; readonly reason: string }
);

/** An order as its customer sees it. */
export interface OrderView extends PlacedOrder {
  readonly status: Status;
  /** When the last thing that is known of it happened. */
  readonly updatedAt: number;
  /** What a waiting order lacks. */
  readonly shortages?: readonly Shortage[];
  /** Why an order came to nothing. */
  readonly reason?: string;
}

/**
 * How far along each status is. The life of an order only ever leads to a higher one, so the highest that was told is
 * the latest, whatever came when.
 */
const PROGRESS: Readonly<Record<Status, number>> = {
  accepted: 0,
  pending: 1,
  backordered: 2,
  confirmed: 3,
  rejected: 3,
  cancelled: 4,
};

/**
 * How an order stands. It depends on which steps are known and on nothing else: not on the order in which they came,
 * nor on how often. More steps never lead back to an earlier status.
 */
export function viewOf(order: PlacedOrder, steps: readonly Step[]): OrderView {
  let status: Status = "accepted";
  let last: Step | undefined;
  let updatedAt = order.placedAt;
  for (const step of steps) {
    updatedAt = Math.max(updatedAt, step.at);
    const next = statusAfter(step);
    if (next === undefined || PROGRESS[next] < PROGRESS[status]) continue;
    // An order may be told more than once what it waits for.
    if (next === status && revisionOf(step) < revisionOf(last)) continue;
    status = next;
    last = step;
  }
  return { ...order, status, updatedAt, ...detailsOf(last) };
}

/** The status that a step tells; undefined when it tells none, because its service does not decide on orders. */
function statusAfter({ type }: Step): Status | undefined {
  switch (type) {
    case PlaceOrder.type:
      return "accepted";
    case OrderPlaced.type:
      return "pending";
    case OrderBackordered.type:
      return "backordered";
    case OrderConfirmed.type:
      return "confirmed";
    case OrderRejected.type:
      return "rejected";
    case OrderCancelled.type:
      return "cancelled";
    case CancelOrder.type:
    case StockReserved.type:
    case StockShort.type:
    case StockRejected.type:
    case StockReleased.type:
      return undefined;
    default:
      return type satisfies never;
  }
}

function detailsOf(step: Step | undefined): Pick<OrderView, "shortages" | "reason"> {
  if (step === undefined) return {};
  if ("shortages" in step) return { shortages: step.shortages };
  return "reason" in step ? { reason: step.reason } : {};
}

/** Of steps that an order may see more than once, which of them it is; 0 for all others. */
export function revisionOf(step: Step | undefined): number {
  return step !== undefined && "revision" in step ? step.revision : 0;
}

/** Whether nothing more will become of it. A confirmed order can still be cancelled. */
export function isFinal(status: Status): boolean {
  switch (status) {
    case "rejected":
    case "cancelled":
      return true;
    case "accepted":
    case "pending":
    case "backordered":
    case "confirmed":
      return false;
    default:
      return status satisfies never;
  }
}
