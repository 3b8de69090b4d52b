import type { OrderView } from "@distributed-messaging/api-gateway/domain";
import {
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
} from "@distributed-messaging/contracts";
import { availableOf } from "@distributed-messaging/inventory/domain";
import type { ReservationStatus } from "@distributed-messaging/inventory/store";
import type { Order } from "@distributed-messaging/order/domain";
import type { Running } from "./process.ts";
import type { GatewayParts, InventoryParts, OrderParts } from "./services.ts";
import type { World } from "./world.ts";

export interface Parts {
  readonly gateway: GatewayParts;
  readonly order: OrderParts;
  readonly inventory: InventoryParts;
}

/** The stores, through the code that the services themselves use. @throws when a process is down */
export function partsOf({ gateway, order, inventory }: World): Parts {
  const up = <P>(running: Running<P> | undefined): P => {
    if (running === undefined) throw new Error("a process is down at the end");
    return running.parts;
  };
  return { gateway: up(gateway.running), order: up(order.running), inventory: up(inventory.running) };
}

/** Every order that the gateway has accepted, whether its customer heard so or not. */
export function* views(world: World): Iterable<OrderView> {
  const { gateway } = partsOf(world);
  const ids = world.gateway.disk.database.sql
    .query<{ id: string }, []>("SELECT order_id AS id FROM orders ORDER BY seq")
    .all();
  for (const { id } of ids) {
    const view = gateway.store.order(id);
    if (view !== undefined) yield view;
  }
}

/** At every commit: on hand = available + reserved, none negative, and reserved is what reservations hold. */
export function* stockAddsUp({ inventory }: World): Iterable<string> {
  const breaches = inventory.disk.database.sql
    .query<{ product: string; onHand: number; reserved: number; held: number }, []>(
      `SELECT product_id AS product, on_hand AS onHand, reserved, coalesce(held, 0) AS held
       FROM products LEFT JOIN (
         SELECT line.value ->> 'productId' AS heldProduct, sum(line.value ->> 'quantity') AS held
         FROM reservations, json_each(lines) AS line WHERE status = 'reserved' GROUP BY 1
       ) ON heldProduct = product_id
       WHERE reserved <> coalesce(held, 0) OR reserved < 0 OR on_hand < reserved`,
    )
    .all();
  for (const { product, onHand, reserved, held } of breaches) {
    yield `${product}: ${onHand} on hand, ${reserved} reserved, ${held} held by reservations`;
  }
}

/** What was answered with 202 is there, as it was asked for; and what only differs by the asking is one order. */
export function* acceptedIsKept(world: World): Iterable<string> {
  const { gateway } = partsOf(world);
  for (const { acceptedId, customerId, items } of world.workload.accepted) {
    const view = gateway.store.order(acceptedId);
    if (view === undefined) yield `${acceptedId} was accepted and is gone`;
    else if (view.customerId !== customerId) yield `${acceptedId} belongs to ${view.customerId}`;
    else if (
      !Bun.deepEquals(
        view.items.map(({ productId, quantity }) => ({ productId, quantity })),
        items,
      )
    ) {
      yield `${acceptedId} is not what was asked for`;
    }
  }
  const made = new Map<string, number>();
  for (const { orderId } of views(world)) made.set(orderId, 1);
  const { placing } = world.workload;
  const repeatable = placing.filter((errand) => errand.repeatable);
  const once = placing.length - repeatable.length;
  if (made.size < repeatable.length)
    yield `${repeatable.length} orders were asked for, ${made.size} are there`;
  if (made.size > repeatable.length + once) yield `${made.size} orders are there, more than were asked for`;
}

const expectedReservation: Readonly<Record<Order["status"], ReservationStatus | undefined>> = {
  pending: undefined,
  backordered: "waiting",
  confirmed: "reserved",
  rejected: "rejected",
  cancelled: "cancelled",
};

/** The gateway, the order service and the inventory tell the same of every order, and none is left half-way. */
export function* everybodyAgrees(world: World): Iterable<string> {
  const parts = partsOf(world);
  let count = 0;
  for (const view of views(world)) {
    count += 1;
    const { orderId } = view;
    const order = parts.order.store.find(orderId);
    const reservation = parts.inventory.store.reservationStatus(orderId);
    if (order === undefined) yield `${orderId} is unknown to the order service`;
    else if (order.status === "pending") yield `${orderId} is still pending`;
    else if (order.status === "backordered" && world.plenty) yield `${orderId} waits though there is enough`;
    else if (!Bun.deepEquals(withoutTimes(view), withoutTimes(order))) {
      yield `${orderId}: the view shows ${JSON.stringify(view)}, the order is ${JSON.stringify(order)}`;
    } else if (reservation !== expectedReservation[order.status]) {
      yield `${orderId} is ${order.status} and its reservation is ${reservation}`;
    }
  }
  for (const [process, table] of [
    [world.order, "orders"],
    [world.inventory, "reservations"],
  ] as const) {
    const rows = process.disk.count(table);
    if (rows !== count) yield `the gateway has ${count} orders, ${process.name} has ${rows}`;
  }
}

function withoutTimes(order: OrderView | Order): object {
  const shownOnly = { placedAt: undefined, updatedAt: undefined, history: undefined };
  return { ...order, ...shownOnly, revision: undefined, expiresAt: undefined };
}

/** The events that move an order on. */
export const steps: ReadonlySet<string> = new Set(
  [OrderPlaced, OrderBackordered, OrderConfirmed, OrderRejected, OrderCancelled].map(({ type }) => type),
);

/** What is reserved of a product is what confirmed orders have of it: nothing leaks, nothing is sold twice. */
export function* reservedIsWhatOrdersHold(world: World): Iterable<string> {
  const parts = partsOf(world);
  const held = new Map<string, number>();
  for (const { orderId, items } of views(world)) {
    if (parts.order.store.find(orderId)?.status !== "confirmed") continue;
    for (const { productId, quantity } of items) held.set(productId, (held.get(productId) ?? 0) + quantity);
  }
  for (const { productId, reserved } of parts.inventory.store.products()) {
    const sum = held.get(productId) ?? 0;
    if (reserved !== sum) yield `${productId}: ${reserved} reserved, ${sum} in confirmed orders`;
  }
}

export function* catalogueMatchesStock(world: World): Iterable<string> {
  const { gateway, inventory } = partsOf(world);
  const stock = inventory.store.products().map((product) => ({
    productId: product.productId,
    name: product.name,
    price: product.price,
    available: availableOf(product),
  }));
  const shown = gateway.store.products();
  if (!Bun.deepEquals(shown, stock)) {
    yield `the gateway shows ${JSON.stringify(shown)}, in stock is ${JSON.stringify(stock)}`;
  }
}
