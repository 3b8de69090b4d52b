import { type Line, PlaceOrder } from "@distributed-messaging/contracts";
import type { Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import type { Catalogue } from "./catalogue.ts";
import { price, sameContent } from "./domain.ts";
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
  const earlier = findEarlier(request, views);
  if (earlier !== undefined) {
    if (request.key !== undefined && views.keyed(request.customerId, request.key) === undefined) {
      views.rememberKey(request.customerId, request.key, earlier, transaction);
    }
    return { orderId: earlier, replayed: true };
  }
  const priced = price(request.items, (productId) => catalogue.priceOf(productId));
  if ("errors" in priced) {
    throw new ServiceError("invalid", "invalid-input", "The order cannot be placed as it is.", {
      errors: priced.errors,
    });
  }
  const { customerId } = request;
  const orderId = request.orderId ?? newId();
  const order = { orderId, customerId, items: [...priced.items], total: priced.total };
  const step = { at: transaction.now, type: PlaceOrder.type, service: "api-gateway" };
  views.save({ ...order, status: "accepted" }, step, transaction);
  if (request.key !== undefined) views.rememberKey(customerId, request.key, orderId, transaction);
  transaction.emit(PlaceOrder, order);
  return { orderId, replayed: false };
}

/** The order that this very request made before. @throws ServiceError when it asked for something else then */
function findEarlier(request: OrderRequest, views: OrderViews): string | undefined {
  const { customerId, key, items } = request;
  const keyed = key === undefined ? undefined : views.keyed(customerId, key);
  if (keyed !== undefined) {
    const order = views.find(keyed);
    const same =
      order !== undefined &&
      sameContent(order.items, items) &&
      (request.orderId === undefined || request.orderId === keyed);
    if (same) return keyed;
    throw new ServiceError(
      "invalid",
      "key-conflict",
      "This Idempotency-Key came with another request before.",
    );
  }
  const order = request.orderId === undefined ? undefined : views.find(request.orderId);
  if (order === undefined) return undefined;
  // Also when it is somebody else's: which ids others use is nobody's business.
  if (order.customerId !== customerId || !sameContent(order.items, items)) {
    throw new ServiceError(
      "invalid",
      "order-conflict",
      "This orderId is taken by an order with other content.",
      {
        errors: [{ path: "/orderId", message: "is taken" }],
      },
    );
  }
  return order.orderId;
}
