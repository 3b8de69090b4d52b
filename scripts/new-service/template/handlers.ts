import { OrderCancelled, OrderConfirmed } from "@distributed-messaging/contracts";
import { type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import { decide, type Input, type Task } from "./domain.ts";
import type { TemplateStore } from "./store.ts";

/** Each message is one decision about one order. A service handles the messages that are bound here, and no others. */
export function templateHandlers(store: TemplateStore): readonly Handler[] {
  return [
    on(OrderConfirmed, ({ data: { orderId, customerId } }, transaction) => {
      carryOut({ kind: "order-confirmed", orderId, customerId }, store, transaction);
    }),
    on(OrderCancelled, ({ data: { orderId } }, transaction) => {
      carryOut({ kind: "order-cancelled", orderId }, store, transaction);
    }),
  ];
}

/** Loads, decides and saves, in one transaction. */
export function carryOut(
  input: Input,
  store: TemplateStore,
  { now }: Pick<Transaction, "now">,
): Task | undefined {
  const before = store.find(input.orderId);
  const after = decide(before, input, now);
  if (after !== undefined && after !== before) store.save(after);
  return after;
}
