import type { App as Gateway } from "@distributed-messaging/api-gateway/http";
import type { Line, Money } from "@distributed-messaging/contracts";
import type { App as NotificationService } from "@distributed-messaging/notification/http";
import type { Treaty } from "@elysiajs/eden";
import { isRecord } from "../json.ts";

export type { Line, Money };

/*
 * The answers of the gateway and the notification service, inferred from their routes. Eden's types only: its client would
 * double what the page loads. Times are RFC 3339.
 */

type GatewayApi = Treaty.Create<Gateway>;
type NotificationApi = Treaty.Create<NotificationService>;

/** One of an answer that is a list. */
type OneOf<List extends readonly unknown[]> = List[number];

export type Product = OneOf<Treaty.Data<GatewayApi["products"]["get"]>>;
export type Order = OneOf<Treaty.Data<GatewayApi["orders"]["get"]>>;
export type OrderStatus = Order["status"];
export type Identity = Treaty.Data<GatewayApi["sessions"]["current"]["get"]>;

/** Of the demo's sign-in, or of an issuer. */
export type Session = Treaty.Data<GatewayApi["sessions"]["post"]> & {
  /** Of an issuer that gives one: for a new token. */
  readonly refreshToken?: string | undefined;
  /** Of an issuer: it recognises by it whose session ends at a sign-out. */
  readonly idToken?: string | undefined;
};

/** As it was sent: a later version of the service may send other types. */
export type Notification = Omit<
  OneOf<Treaty.Data<NotificationApi["notifications"]["get"]>>,
  "type" | "notificationId"
> & { readonly type: string };

// Of any service: all have the same routes for what they parked.
type DeadLetters = GatewayApi["dead-letters"];
type DeadLetter = ReturnType<DeadLetters>;

export type DeadLetterSummary = OneOf<Treaty.Data<DeadLetters["get"]>>;
export type DeadLetterDetails = Treaty.Data<DeadLetter["get"]>;
export type Replay = Treaty.Data<DeadLetter["replay"]["post"]>;

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
