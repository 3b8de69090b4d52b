import { CancelOrder } from "@distributed-messaging/contracts";
import type { Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { isFinal, type Status } from "./domain.ts";
import type { KeyedRequest } from "./idempotency.ts";
import { ownStep } from "./steps.ts";
import type { OrderViews } from "./store.ts";

export interface CancelRequest {
  readonly customerId: string;
  readonly orderId: string;
  /** The client's `Idempotency-Key`, if it sent one. */
  readonly key: string | undefined;
}

export interface CancelAccepted {
  readonly orderId: string;
  /** How the order stood when the wish was accepted. */
  readonly status: Status;
  /** Whether it had been accepted before: then nothing happened this time. */
  readonly replayed: boolean;
}

/**
 * Passes a customer's wish to cancel on to the order service, which decides: the order may be rejected, or expire,
 * before it hears of it. While a wish is on its way, another one is the same.
 *
 * @throws ServiceError not-found: order-not-found; conflict: order-final; invalid: key-conflict
 */
export function cancelOrder(
  { customerId, orderId, key }: CancelRequest,
  views: OrderViews,
  transaction: Transaction,
): CancelAccepted {
  const keyed: KeyedRequest = { customerId, key, operation: "cancel-order", content: orderId };
  const before = views.keys.find(keyed);
  if (before !== undefined) {
    // Written below, and nowhere else.
    return { orderId, status: before.answer as Status, replayed: true };
  }
  const order = views.find(orderId);
  if (order?.customerId !== customerId) throw orderNotFound(orderId);
  const { status } = order;
  if (isFinal(status)) {
    throw new ServiceError("conflict", "order-final", `Order ${orderId} is ${status} already.`);
  }
  const replayed = views.steps(orderId).some(({ type }) => type === CancelOrder.type);
  if (!replayed) {
    const id = transaction.emit(CancelOrder, { orderId, reason: "customer_request" });
    views.addOwnStep(orderId, ownStep(CancelOrder.type, id, transaction), transaction);
  }
  views.keys.remember(keyed, { target: orderId, answer: status }, transaction);
  return { orderId, status, replayed };
}

/** Also when it is somebody else's: which orders others have is nobody's business. */
export function orderNotFound(orderId: string): ServiceError {
  return new ServiceError("not-found", "order-not-found", `You have no order ${orderId}.`);
}
