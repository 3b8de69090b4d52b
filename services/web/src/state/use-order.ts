import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchOrder } from "../api/gateway.ts";
import { Refused } from "../api/request.ts";
import { isOpen, type Notification, type Order } from "../api/types.ts";
import { refused, sending } from "./checkout.ts";
import { connection } from "./notifications.ts";
import { applyOrder, onNotification } from "./orders.ts";
import { poll } from "./poll.ts";
import { customerId, token, tokenRefused } from "./session.ts";

export interface OrderState {
  readonly order: Order | undefined;
  /** The customer has no order with this id. */
  readonly missing: boolean;
  /** Whether the last request to the gateway was answered. */
  readonly answered: boolean;
  readonly notification: Notification | undefined;
}

const initial: OrderState = { order: undefined, missing: false, answered: true, notification: undefined };

/** Polling intervals: while a notification is newer than the gateway's answer, for open orders, for final ones. */
const STALE_MS = 120;
const OPEN_MS = 1_000;
const FINAL_MS = 10_000;

/** The state of one order while a component is mounted, updated on notifications and by polling. */
export function useOrder(orderId: string): Signal<OrderState> {
  const state = useSignal(initial);
  const by = customerId.value;
  // The gateway does not have an order that is being sent or was refused.
  const isUnknown = [...sending.value, ...refused.value].some((order) => order.orderId === orderId);
  useEffect(() => {
    state.value = initial;
    if (by === undefined || isUnknown) return;
    const ask = async () => {
      const withToken = token.peek();
      if (withToken === undefined) return;
      try {
        const order = await fetchOrder(withToken, orderId);
        if (customerId.peek() !== by) return;
        applyOrder(order);
        state.value = { ...state.peek(), order, missing: false, answered: true };
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return tokenRefused(withToken);
        const missing = error instanceof Refused && error.status === 404;
        state.value = { ...state.peek(), missing, answered: error instanceof Refused };
      }
    };
    const polling = poll(ask, () => intervalMs(state.peek()));
    const unsubscribe = onNotification(orderId, (notification) => {
      state.value = { ...state.peek(), notification };
      polling.now();
    });
    return () => {
      polling.stop();
      unsubscribe();
    };
  }, [orderId, by, isUnknown, state]);
  return state;
}

function intervalMs({ order, notification }: OrderState): number {
  if (order === undefined) return OPEN_MS;
  if (notification !== undefined && Date.parse(notification.at) > Date.parse(order.updatedAt))
    return STALE_MS;
  if (!isOpen(order.status)) return FINAL_MS;
  return connection.peek() === "live" ? 2 * OPEN_MS : OPEN_MS;
}
