import {
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
} from "@distributed-messaging/contracts";
import { type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import { type OrderEvent, wordingOf } from "./domain.ts";
import type { NotificationStore } from "./store.ts";

/**
 * Which messages the notification service takes. What they write is the same whatever comes first and however often
 * it comes.
 *
 * @param stored told, once it is on disk, that a customer has something new to read
 */
export function notificationHandlers(
  store: NotificationStore,
  stored: (customerId: string) => void,
): readonly Handler[] {
  const notify = (event: OrderEvent & { id: string; time: string }, transaction: Transaction) => {
    const { customerId, orderId } = event.data;
    // Named after the event: told again from the topic, it is the same notification.
    const notification = { notificationId: event.id, customerId, orderId, at: event.time };
    store.add({ ...notification, ...wordingOf(event) }, transaction);
    transaction.afterCommit(() => stored(customerId));
  };
  return [
    on(OrderPlaced, notify),
    on(OrderBackordered, (event, transaction) => {
      // An order that lacks something else after a while waits as before, and its customer knows that.
      if (event.data.revision === 1) notify(event, transaction);
    }),
    on(OrderConfirmed, notify),
    on(OrderRejected, notify),
    on(OrderCancelled, notify),
  ];
}
