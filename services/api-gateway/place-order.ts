import { type Line, PlaceOrder } from "@distributed-messaging/contracts";
import type { Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import type { Catalogue } from "./catalogue.ts";
import { type KeyedRequest, keyConflict } from "./idempotency.ts";
import { contentOf, price } from "./pricing.ts";
import { ownStep } from "./steps.ts";
import type { OrderViews } from "./store.ts";

export interface OrderRequest {
  readonly customerId: string;
  /** The client's own id for the order, if it chose one. */
  readonly orderId: string | undefined;
  /** The client's `Idempotency-Key`, if it sent one. */
  readonly key: string | undefined;
  readonly items: readonly Line[];
}

export interface Accepted {
  readonly orderId: string;
  /** Whether the same request had been accepted before: then nothing happened this time. */
  readonly replayed: boolean;
}

/**
 * Accepts an order, or finds that it was accepted before. One unit of work, so that of two requests that race
 * one finds the other's order.
 *
 * @param newId an id for an order whose client chose none
 * @throws ServiceError invalid: order-conflict, key-conflict, invalid-input
 */
export function placeOrder(
  request: OrderRequest,
  views: OrderViews,
  catalogue: Catalogue,
  newId: () => string,
  transaction: Transaction,
): Accepted {
  const { customerId, key, items } = request;
  const keyed: KeyedRequest = { customerId, key, operation: "place-order", content: contentOf(items) };
  const replayed = views.keys.find(keyed)?.target;
  if (replayed !== undefined) {
    if (request.orderId !== undefined && request.orderId !== replayed) throw keyConflict();
    return { orderId: replayed, replayed: true };
  }
  const orderId = request.orderId ?? newId();
  const isPlaced = request.orderId !== undefined && wasPlaced(orderId, keyed, views);
  if (!isPlaced) accept(orderId, request, views, catalogue, transaction);
  views.keys.remember(keyed, { target: orderId, answer: "" }, transaction);
  return { orderId, replayed: isPlaced };
}

/** Whether this very order was placed before. @throws ServiceError when the id was given to another one */
function wasPlaced(orderId: string, { customerId, content }: KeyedRequest, views: OrderViews): boolean {
  const order = views.placed(orderId);
  if (order === undefined) return false;
  // Also when it is somebody else's: which ids others use is nobody's business.
  if (order.customerId === customerId && contentOf(order.items) === content) return true;
  throw new ServiceError(
    "invalid",
    "order-conflict",
    "This orderId is taken by an order with other content.",
    {
      errors: [{ path: "/orderId", message: "is taken" }],
    },
  );
}

function accept(
  orderId: string,
  { customerId, items }: OrderRequest,
  views: OrderViews,
  catalogue: Catalogue,
  transaction: Transaction,
): void {
  const priced = price(items, (productId) => catalogue.priceOf(productId));
  if ("errors" in priced) {
    throw new ServiceError("invalid", "invalid-input", "The order cannot be placed as it is.", {
      errors: priced.errors,
    });
  }
  const order = { orderId, customerId, items: [...priced.items], total: priced.total };
  const id = transaction.emit(PlaceOrder, order);
  const step = ownStep(PlaceOrder.type, id, transaction);
  views.accept({ ...order, placedAt: transaction.now }, step, transaction);
}
