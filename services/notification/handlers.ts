import {
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  orderNameOf,
} from "@distributed-messaging/contracts";
import { type Handler, on, type RecordPosition, type Transaction } from "@distributed-messaging/messaging";
import { type OrderEvent, wordingOf } from "./domain.ts";
import type { NotificationStore } from "./store.ts";

/**
 * Store a notification for each event. Idempotent, and independent of the order in which events arrive.
 *
 * @param stored called after the commit with the customer who has a new notification; when its promise rejects, that is logged
 */
export function notificationHandlers(
  store: NotificationStore,
  stored: (customerId: string) => Promise<void> | undefined,
): readonly Handler[] {
  const notify = (
    event: OrderEvent & { id: string; time: string },
    transaction: Transaction,
    { partition, offset }: RecordPosition,
  ) => {
    const { customerId } = event.data;
    const orderId = orderNameOf(customerId, event.data.orderId);
    // The id is the event's: a rebuild makes the same notification of it.
    const notification = { notificationId: event.id, customerId, orderId, at: event.time, partition, offset };
    store.add({ ...notification, ...wordingOf(event, orderId) });
    transaction.afterCommit(() => stored(customerId));
  };
  return [
    on(OrderPlaced, notify),
    on(OrderBackordered, (event, transaction, position) => {
      // Only the first time: that the shortages changed is no news to the customer.
      if (event.data.revision === 1) notify(event, transaction, position);
    }),
    on(OrderConfirmed, notify),
    on(OrderRejected, notify),
    on(OrderCancelled, notify),
  ];
}
