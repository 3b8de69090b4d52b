import {
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  Restock,
  StockChanged,
} from "@distributed-messaging/contracts";
import { type Handler, on, type TimerHandler, type Transaction } from "@distributed-messaging/messaging";
import {
  availableOf,
  type ChangedReservation,
  type Decision,
  decisionsOn,
  type Input,
  type QueuePolicy,
} from "./domain.ts";
import type { InventoryStore, Product } from "./store.ts";

/** One timer, for the priority that ends first. */
const PRIORITY_END = { name: "backorder-priority", key: "first" };

/** Reservations of confirmed orders may be deleted one day. Without retention, nobody needs to know. */
export function settlingHandlers(store: InventoryStore): readonly Handler[] {
  return [on(OrderConfirmed, ({ data: { orderId } }, transaction) => store.settle(orderId, transaction))];
}

/** Each message is one decision, after one for each priority that has ended. */
export function inventoryHandlers(store: InventoryStore, policy: QueuePolicy): readonly Handler[] {
  const take = (input: Input, transaction: Transaction) => carryOut(input, store, policy, transaction);
  return [
    on(OrderPlaced, ({ data: { orderId, customerId, items } }, transaction) => {
      if (store.wasDeleted(orderId)) return;
      const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
      take({ kind: "place", orderId, customerId, lines }, transaction);
    }),
    on(OrderCancelled, ({ data: { orderId } }, transaction) => {
      if (!store.wasDeleted(orderId)) take({ kind: "cancel", orderId }, transaction);
    }),
    on(Restock, ({ data }, transaction) => take({ kind: "restock", ...data }, transaction)),
  ];
}

/** Priorities also end when there is no message. */
export function inventoryTimers(store: InventoryStore, policy: QueuePolicy): readonly TimerHandler[] {
  return [
    {
      name: PRIORITY_END.name,
      fire: (_timer, transaction) => {
        carryOut(undefined, store, policy, transaction);
        const first = store.firstPriority();
        if (first !== undefined) transaction.setTimer({ ...PRIORITY_END, dueAt: first.priorityUntil });
      },
    },
  ];
}

function carryOut(
  input: Input | undefined,
  store: InventoryStore,
  policy: QueuePolicy,
  transaction: Transaction,
): void {
  for (const decision of decisionsOn(input, store, { now: transaction.now, policy })) {
    save(decision, store, transaction);
  }
}

function save(decision: Decision, store: InventoryStore, transaction: Transaction): void {
  store.save(decision, transaction);
  for (const { definition, data } of decision.messages) transaction.emit(definition, data);
  for (const product of store.changeStock(decision.stock)) publish(product, transaction);
  // Only a new order can have the priority that ends first and no timer for it.
  const first = decision.reservations.some(isNewWithPriority) ? store.firstPriority() : undefined;
  if (first !== undefined && decision.reservations.some(({ orderId }) => orderId === first.orderId)) {
    transaction.setTimer({ ...PRIORITY_END, dueAt: first.priorityUntil });
  }
}

function isNewWithPriority(reservation: ChangedReservation): boolean {
  return (
    reservation.status === "waiting" && reservation.priorityUntil !== undefined && !("arrival" in reservation)
  );
}

/** Saves a product and publishes its new state. */
export function changeProduct(
  store: InventoryStore,
  product: Omit<Product, "version">,
  transaction: Transaction,
): void {
  publish(store.saveProduct(product), transaction);
}

function publish(product: Product, transaction: Transaction): void {
  const { productId, name, price, version } = product;
  transaction.emitLatest(StockChanged, { productId, name, price, available: availableOf(product), version });
}
