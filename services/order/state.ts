import type {
  CancelOrder,
  CancelReason,
  Money,
  PlaceOrder,
  PricedLine,
  Shortage,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import type { DataOf, Emission } from "@distributed-messaging/messaging";

/** What stays the same for as long as there is the order. */
export interface Details {
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
  /** How often the inventory has told what it lacks. */
  readonly revision: number;
  /** From this moment on it waits no longer. Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface Confirmed extends Details {
  readonly status: "confirmed";
}

export interface Rejected extends Details {
  readonly status: "rejected";
  readonly reason: string;
}

export interface Cancelled extends Details {
  readonly status: "cancelled";
  readonly reason: CancelReason;
}

export type Order = Pending | Backordered | Confirmed | Rejected | Cancelled;

/** What happened, or is asked for, and what it says. */
export type Input =
  | { readonly kind: "place"; readonly data: DataOf<typeof PlaceOrder> }
  | { readonly kind: "cancel"; readonly data: DataOf<typeof CancelOrder> }
  | { readonly kind: "reserved"; readonly data: DataOf<typeof StockReserved> }
  | { readonly kind: "short"; readonly data: DataOf<typeof StockShort> }
  | { readonly kind: "stock-rejected"; readonly data: DataOf<typeof StockRejected> }
  | { readonly kind: "released"; readonly data: DataOf<typeof StockReleased> }
  /** The deadline of an order that waits has come. */
  | { readonly kind: "expire"; readonly data: { readonly orderId: string } };

/** When an order is decided on. */
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
