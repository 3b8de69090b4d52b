import type { Line, Money, PricedLine, Shortage } from "@distributed-messaging/contracts";
import { isRecord } from "../json.ts";

export type { Line, Money };

/* The answers of the gateway and the notification service. Times are RFC 3339. */

export interface Product {
  readonly productId: string;
  readonly name: string;
  readonly price: Money;
  readonly available: number;
}

export type OrderStatus = "accepted" | "pending" | "backordered" | "confirmed" | "rejected" | "cancelled";

interface HistoryEntry {
  readonly at: string;
  /** The type of the message, such as `store.order.placed.v1`. */
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
  readonly history: readonly HistoryEntry[];
}

export interface Session {
  readonly token: string;
  readonly customerId: string;
  readonly role: "customer" | "admin";
  readonly expiresAt: string;
  /** Of an issuer that gives one: for a new token. */
  readonly refreshToken?: string | undefined;
  /** Of an issuer: it recognises by it whose session ends at a sign-out. */
  readonly idToken?: string | undefined;
}

export interface Notification {
  readonly seq: number;
  readonly orderId: string;
  /** `order.received`, `order.waiting`, … A later version of the service may send others. */
  readonly type: string;
  readonly message: string;
  readonly at: string;
}

export function isNotification(value: unknown): value is Notification {
  return (
    isRecord(value) &&
    Number.isSafeInteger(value.seq) &&
    ["orderId", "type", "message", "at"].every((field) => typeof value[field] === "string") &&
    !Number.isNaN(Date.parse(String(value.at)))
  );
}

/** Whether the order can change without an action of its customer. */
export function isOpen(status: OrderStatus): boolean {
  return status === "accepted" || status === "pending" || status === "backordered";
}

/** Whether the customer can cancel the order. */
export function canCancel(status: OrderStatus): boolean {
  return isOpen(status) || status === "confirmed";
}
