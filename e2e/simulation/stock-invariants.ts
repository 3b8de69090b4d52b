import { OrderCancelled, OrderPlaced, Restock } from "@distributed-messaging/contracts";
import { availableOf, type Input } from "@distributed-messaging/inventory/domain";
import { Reference } from "@distributed-messaging/inventory/testing/reference";
import type { DataOf } from "@distributed-messaging/messaging";
import { type Emitted, emittedBy, handlingsOf } from "./ledger.ts";
import { missingAt } from "./losses.ts";
import { partsOf, type World } from "./world.ts";

/** On hand = available + reserved, none is negative, and reserved is the sum of the reservations. */
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
    yield `${product}: ${onHand} on hand, ${reserved} reserved, ${held} in reservations`;
  }
}

/** On hand is the initial stock and every restock once. */
export function* restockedOnce(world: World): Iterable<string> {
  const onHand = new Map(world.products.map((product) => [product.productId, product.onHand]));
  const missing = missingAt(world.inventory, world.removed);
  for (const { id, type, data } of emittedBy(world.gateway.disk.database)) {
    if (type !== Restock.type || missing.has(id)) continue;
    const { productId, quantity } = data as DataOf<typeof Restock>;
    onHand.set(productId, (onHand.get(productId) ?? 0) + quantity);
  }
  for (const { productId, onHand: actual } of partsOf(world.inventory).store.products()) {
    const expected = onHand.get(productId) ?? 0;
    if (actual !== expected) yield `${productId}: ${actual} on hand, expected ${expected}`;
  }
}

/** All lines of an order or none, and who goes first: as the reference decides for the same messages in order. */
export function* allocatedByTheRules(world: World): Iterable<string> {
  const { store } = partsOf(world.inventory);
  const reference = new Reference(
    Object.fromEntries(world.products.map(({ productId, onHand }) => [productId, onHand])),
  );
  const emitted = new Map(
    world.processes.flatMap(({ disk }) => emittedBy(disk.database).map((message) => [message.id, message])),
  );
  for (const { messageId, at } of handlingsOf(world.inventory.disk.database)) {
    const input = messageId === null ? undefined : toInput(emitted.get(messageId));
    // Time passes at each input, and at each of the inventory's own timers.
    if (input === undefined && messageId !== null) continue;
    reference.apply(input, { now: at, policy: world.queuePolicy });
  }
  const expected = new Map<string, string>([
    ...reference.waiting.map(({ orderId }) => [orderId, "waiting"] as const),
    ...[...reference.reserved.keys()].map((orderId) => [orderId, "reserved"] as const),
  ]);
  for (const { orderId } of world.orders()) {
    const status = store.reservation(orderId)?.status;
    const actual = status === "waiting" || status === "reserved" ? status : undefined;
    if (actual !== expected.get(orderId)) {
      yield `${orderId} is ${status}, by the rules ${expected.get(orderId) ?? "neither waiting nor reserved"}`;
    }
  }
}

function toInput(message: Emitted | undefined): Input | undefined {
  switch (message?.type) {
    case OrderPlaced.type: {
      const { orderId, customerId, items } = message.data as DataOf<typeof OrderPlaced>;
      const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
      return { kind: "place", orderId, customerId, lines };
    }
    case OrderCancelled.type:
      return { kind: "cancel", orderId: (message.data as DataOf<typeof OrderCancelled>).orderId };
    case Restock.type:
      return { kind: "restock", ...(message.data as DataOf<typeof Restock>) };
    default:
      return undefined;
  }
}

/** What is reserved of a product is what confirmed orders have of it. */
export function* reservedForConfirmedOrders(world: World): Iterable<string> {
  const orders = partsOf(world.order).store;
  const confirmed = new Map<string, number>();
  for (const { orderId, items } of world.orders()) {
    if (orders.find(orderId)?.status !== "confirmed") continue;
    for (const { productId, quantity } of items) {
      confirmed.set(productId, (confirmed.get(productId) ?? 0) + quantity);
    }
  }
  for (const { productId, reserved } of partsOf(world.inventory).store.products()) {
    const sum = confirmed.get(productId) ?? 0;
    if (reserved !== sum) yield `${productId}: ${reserved} reserved, ${sum} in confirmed orders`;
  }
}

export function* catalogueMatchesStock(world: World): Iterable<string> {
  const stock = partsOf(world.inventory)
    .store.products()
    .map((product) => ({
      productId: product.productId,
      name: product.name,
      price: product.price,
      available: availableOf(product),
    }));
  const catalogue = partsOf(world.gateway).store.products();
  if (!Bun.deepEquals(catalogue, stock)) {
    yield `the catalogue is ${JSON.stringify(catalogue)}, the stock is ${JSON.stringify(stock)}`;
  }
}
