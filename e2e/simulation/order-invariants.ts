import type { HistoryEntry, OrderView } from "@distributed-messaging/api-gateway/domain";
import {
  CancelOrder,
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  PlaceOrder,
  topics,
} from "@distributed-messaging/contracts";
import type { Reservation } from "@distributed-messaging/inventory/domain";
import { idOf, type StoredId } from "@distributed-messaging/messaging";
import type { Order } from "@distributed-messaging/order/domain";
import { type Emitted, emittedBy } from "./ledger.ts";
import { missingAt } from "./losses.ts";
import { OTHER_CUSTOMER } from "./operations.ts";
import { partsOf, type World } from "./world.ts";

/** Every order that was answered with 202 is there with its content, and a repeated request made no second one. */
export function* acceptedOrdersAreKept(world: World): Iterable<string> {
  const { store } = partsOf(world.gateway);
  for (const { name, customerId, items } of world.workload.accepted) {
    const view = store.orderNamed(customerId, name);
    if (view === undefined) {
      yield `${name} of ${customerId} was accepted and is missing`;
      continue;
    }
    const lines = view.items.map(({ productId, quantity }) => ({ productId, quantity }));
    if (!Bun.deepEquals(lines, items)) yield `${view.orderId} has other items than were requested`;
  }
  const { placing } = world.workload;
  const count = world.orders().filter(({ customerId }) => customerId !== OTHER_CUSTOMER).length;
  // The others may have been lost before they were accepted.
  const least = placing.filter(({ repeatable }) => repeatable).length;
  if (count < least) yield `${least} orders were requested, ${count} exist`;
  if (count > placing.length) yield `${count} orders exist, ${placing.length} were requested`;
}

const expectedReservations: Readonly<
  Record<Order["status"], readonly (Reservation["status"] | undefined)[]>
> = {
  pending: [],
  backordered: ["waiting"],
  confirmed: ["reserved"],
  rejected: ["rejected"],
  // The order may be cancelled before the order service has handled its rejection.
  cancelled: ["cancelled", "rejected"],
};

/** Gateway, order service and inventory have the same orders in matching states, none of which is intermediate. */
export function* servicesAgree(world: World): Iterable<string> {
  const orders = partsOf(world.order).store;
  const reservations = partsOf(world.inventory).store;
  const missing = missingAt(world.order, world.removed);
  const neverPlaced = new Set(
    emittedBy(world.gateway.disk.database)
      .filter(({ type, id }) => type === PlaceOrder.type && missing.has(id))
      .map(({ key }) => key),
  );
  const views = world.orders().filter(({ orderId }) => !neverPlaced.has(orderId));
  for (const view of views) {
    const { orderId } = view;
    const order = orders.find(orderId);
    const reservation = reservations.reservation(orderId)?.status;
    if (order === undefined) yield `${orderId} is unknown to the order service`;
    else if (order.status === "pending") yield `${orderId} is still pending`;
    else if (order.status === "backordered" && world.restocked) yield `${orderId} waits for available stock`;
    else if (!Bun.deepEquals(comparable(view), comparable(order))) {
      yield `${orderId}: the view is ${JSON.stringify(view)}, the order is ${JSON.stringify(order)}`;
    } else if (!expectedReservations[order.status].includes(reservation)) {
      yield `${orderId} is ${order.status} and its reservation is ${reservation}`;
    }
  }
  for (const [process, table] of [
    [world.order, "orders"],
    [world.inventory, "reservations"],
  ] as const) {
    const rows = process.disk.count(table);
    if (rows !== views.length) yield `${views.length} orders at the gateway, ${rows} at ${process.name}`;
  }
}

function comparable(order: OrderView | Order): object {
  const viewOnly = { placedAt: undefined, updatedAt: undefined, history: undefined };
  return { ...order, ...viewOnly, revision: undefined, expiresAt: undefined };
}

/** An order was cancelled because its customer requested it or because it waited for too long, and then always. */
export function* cancelledWithReason(world: World): Iterable<string> {
  const orders = partsOf(world.order).store;
  const missing = missingAt(world.order, world.removed);
  const requested = new Set(
    emittedBy(world.gateway.disk.database)
      .filter(({ type, id }) => type === CancelOrder.type && !missing.has(id))
      .map(({ key }) => key),
  );
  for (const { orderId } of world.orders()) {
    const state = orders.find(orderId);
    if (requested.has(orderId) && state?.status !== "cancelled" && state?.status !== "rejected") {
      yield `cancelling ${orderId} was accepted and it is ${state?.status}`;
    }
    if (state?.status === "cancelled" && state.reason === "customer_request" && !requested.has(orderId)) {
      yield `${orderId} was cancelled without a request`;
    }
  }
}

const orderTopics: ReadonlySet<string> = new Set(
  [topics.orderCommands, topics.orderEvents, topics.inventoryEvents].map(({ name }) => name),
);

/**
 * The history of an order in the gateway's view is every message about it, whichever service emitted it: those of one
 * service in the order of emission, each after the one that caused it.
 */
export function* historyIsCausal(world: World): Iterable<string> {
  const byOrder = Map.groupBy(
    world.processes
      .flatMap(({ disk }) => emittedBy(disk.database))
      .filter(({ topic }) => orderTopics.has(topic)),
    ({ key }) => key,
  );
  for (const { orderId, history } of world.orders()) {
    for (const breach of breachesOf(history, byOrder.get(orderId) ?? [])) yield `${orderId}: ${breach}`;
  }
}

function* breachesOf(history: readonly HistoryEntry[], messages: readonly Emitted[]): Iterable<string> {
  const left = Map.groupBy(messages, ({ source }) => source);
  const later = new Set(messages.map(({ id }) => id));
  for (const { at, type, service } of history) {
    const message = left.get(service)?.shift();
    const expected = message && { at: Date.parse(message.time), type: message.type };
    if (message === undefined || !Bun.deepEquals({ at, type }, expected)) {
      yield `its history has ${type} of ${service} at ${at}, expected ${JSON.stringify(expected)}`;
      return;
    }
    later.delete(message.id);
    if (later.has(message.causationid)) yield `its history has ${type} before its cause`;
  }
  for (const { type, source } of [...left.values()].flat()) yield `its history lacks ${type} of ${source}`;
}

const notifying: ReadonlySet<string> = new Set(
  [OrderPlaced, OrderBackordered, OrderConfirmed, OrderRejected, OrderCancelled].map(({ type }) => type),
);

/** There is one notification for each event that changes the status of an order. */
export function* notifiedOnce({ notification, order }: World): Iterable<string> {
  const notified = notification.disk.database.sql
    .query<{ id: StoredId }, []>("SELECT notification_id AS id FROM notifications")
    .all();
  // An order may be backordered several times, with other shortages: only the first changes its status.
  const seen = new Set<string>();
  const events = emittedBy(order.disk.database).filter(({ type, key }) => {
    const isFirst = !seen.has(`${type} ${key}`);
    seen.add(`${type} ${key}`);
    return isFirst && notifying.has(type);
  });
  const ids = new Set(notified.map(({ id }) => idOf(id)));
  for (const { id, type, key } of events) if (!ids.has(id)) yield `no notification of ${type} of ${key}`;
  if (notified.length !== events.length) {
    yield `${notified.length} notifications for ${events.length} events`;
  }
}

export function* totalsAreCorrect(world: World): Iterable<string> {
  const prices = new Map(world.products.map(({ productId, price }) => [productId, price.amount]));
  for (const { orderId, items, total } of world.orders()) {
    const sum = items.reduce((amount, line) => amount + line.quantity * (prices.get(line.productId) ?? 0), 0);
    if (sum !== total.amount) yield `${orderId}: the total is ${total.amount} instead of ${sum}`;
  }
}
