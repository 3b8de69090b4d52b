import { CancelOrder, OrderCancelled, OrderPlaced, Restock } from "@distributed-messaging/contracts";
import type { Input } from "@distributed-messaging/inventory/domain";
import { Reference } from "@distributed-messaging/inventory/testing/reference";
import type { DataOf } from "@distributed-messaging/messaging";
import { type Emitted, emittedBy, handledBy } from "./ledger.ts";
import { partsOf, views } from "./store-invariants.ts";
import type { World } from "./world.ts";

/** On hand is what there was and what was brought, each delivery once. */
export function* stockIsWhatCameIn(world: World): Iterable<string> {
  const onHand = new Map(world.products.map((product) => [product.productId, product.onHand]));
  for (const { type, data } of emittedBy(world.gateway.disk.database)) {
    if (type !== Restock.type) continue;
    const { productId, quantity } = data as DataOf<typeof Restock>;
    onHand.set(productId, (onHand.get(productId) ?? 0) + quantity);
  }
  for (const { productId, onHand: actual } of partsOf(world).inventory.store.products()) {
    const expected = onHand.get(productId) ?? 0;
    if (actual !== expected) yield `${productId}: ${actual} on hand, ${expected} came in`;
  }
}

/** All lines or none, first come first served: as by going through all that wait, for all that happened, in turn. */
export function* rulesAreKept(world: World): Iterable<string> {
  const { store } = partsOf(world).inventory;
  const reference = new Reference(
    Object.fromEntries(world.products.map(({ productId, onHand }) => [productId, onHand])),
  );
  const emitted = new Map(
    world.processes.flatMap(({ disk }) => emittedBy(disk.database).map((message) => [message.id, message])),
  );
  for (const { messageId } of handledBy(world.inventory.disk.database)) {
    const input = toInput(emitted.get(messageId));
    if (input !== undefined) reference.apply(input);
  }
  const waiting = new Set(reference.waiting.map(({ orderId }) => orderId));
  for (const { orderId } of views(world)) {
    const status = store.reservationStatus(orderId);
    const expected = waiting.has(orderId)
      ? "waiting"
      : reference.reserved.has(orderId)
        ? "reserved"
        : undefined;
    const isHeld = status === "waiting" || status === "reserved";
    if (isHeld ? status !== expected : expected !== undefined) {
      yield `${orderId} is ${status}, by the rules it is ${expected ?? "neither waiting nor reserved"}`;
    }
  }
}

function toInput(message: Emitted | undefined): Input | undefined {
  switch (message?.type) {
    case OrderPlaced.type: {
      const { orderId, items } = message.data as DataOf<typeof OrderPlaced>;
      const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
      return { kind: "place", orderId, lines };
    }
    case OrderCancelled.type:
      return { kind: "cancel", orderId: (message.data as DataOf<typeof OrderCancelled>).orderId };
    case Restock.type:
      return { kind: "restock", ...(message.data as DataOf<typeof Restock>) };
    default:
      return undefined;
  }
}

/** Cancelled is what its customer asked to cancel, or what has waited for too long; and the former always. */
export function* cancelledForAReason(world: World): Iterable<string> {
  const { order } = partsOf(world);
  const asked = new Set(
    emittedBy(world.gateway.disk.database)
      .filter(({ type }) => type === CancelOrder.type)
      .map(({ key }) => key),
  );
  for (const { orderId } of views(world)) {
    const state = order.store.find(orderId);
    if (asked.has(orderId) && state?.status !== "cancelled" && state?.status !== "rejected") {
      yield `${orderId} was to be cancelled and is ${state?.status}`;
    }
    if (state?.status === "cancelled" && state.reason === "customer_request" && !asked.has(orderId)) {
      yield `${orderId} was cancelled and nobody asked for it`;
    }
  }
}
