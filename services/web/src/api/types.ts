import type { Line, Money, PricedLine, Shortage } from "@distributed-messaging/contracts";

export type { Line, Money, PricedLine, Shortage };

/** What the gateway and the notification service answer. Times are RFC 3339. */

export interface Product {
  readonly productId: string;
  readonly name: string;
  readonly price: Money;
  readonly available: number;
}

export type OrderStatus = "accepted" | "pending" | "backordered" | "confirmed" | "rejected" | "cancelled";

export interface Step {
  readonly at: string;
  /** Of the message: `store.order.placed.v1`. */
  readonly type: string;
  readonly service: string;
}

export interface Order {
  readonly orderId: string;
  readonly customerId: string;
  readonly status: OrderStatus;
  readonly items: readonly PricedLine[];
  readonly total: Money;
  readonly placedAt: string;
  readonly updatedAt: string;
  readonly shortages?: readonly Shortage[];
  readonly reason?: string;
  readonly history: readonly Step[];
}

export interface Session {
  readonly token: string;
  readonly customerId: string;
  readonly role: "customer" | "admin";
  readonly expiresAt: string;
}

export type NotificationType =
  | "order.received"
  | "order.waiting"
  | "order.confirmed"
  | "order.rejected"
  | "order.cancelled";

export interface Notification {
  readonly seq: number;
  readonly notificationId: string;
  readonly orderId: string;
  readonly type: NotificationType;
  readonly message: string;
  readonly at: string;
}

/** An order that can still change by itself. */
export function isOpen(status: OrderStatus): boolean {
  return status === "accepted" || status === "pending" || status === "backordered";
}

/** Whether its customer can still call it off. */
export function canCancel(status: OrderStatus): boolean {
  return isOpen(status) || status === "confirmed";
}
