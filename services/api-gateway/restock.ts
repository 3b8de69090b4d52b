import { MAX_STOCK, Restock } from "@distributed-messaging/contracts";
import type { Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import type { Catalogue } from "./catalogue.ts";
import type { IdempotencyKeys, KeyedRequest } from "./idempotency.ts";

export interface RestockRequest {
  /** Who asks: an admin has keys of their own, too. */
  readonly customerId: string;
  readonly productId: string;
  readonly quantity: number;
  /** The client's `Idempotency-Key`, if it sent one. */
  readonly key: string | undefined;
}

export interface RestockAccepted {
  readonly restockId: string;
  readonly productId: string;
  readonly quantity: number;
  /** Whether it had been accepted before: then nothing happened this time. */
  readonly replayed: boolean;
}

/**
 * Tells the inventory that more of a product has come in. It is the inventory that knows how much there is: what
 * would be too much beside what is reserved is refused there.
 *
 * @param newId an id for the restock
 * @throws ServiceError not-found: product-not-found; invalid: invalid-input, key-conflict
 */
export function restock(
  { customerId, productId, quantity, key }: RestockRequest,
  keys: IdempotencyKeys,
  catalogue: Catalogue,
  newId: () => string,
  transaction: Transaction,
): RestockAccepted {
  const content = `${productId}:${quantity}`;
  const keyed: KeyedRequest = { customerId, key, operation: "restock", content };
  const before = keys.find(keyed);
  if (before !== undefined) return { restockId: before.target, productId, quantity, replayed: true };
  const product = catalogue.find(productId);
  if (product === undefined) {
    throw new ServiceError("not-found", "product-not-found", `There is no product ${productId}.`);
  }
  if (product.available + quantity > MAX_STOCK) {
    const errors = [{ path: "/quantity", message: `would make it more than ${MAX_STOCK}` }];
    throw new ServiceError("invalid", "invalid-input", "There would be too much of it.", { errors });
  }
  const restockId = newId();
  transaction.emit(Restock, { restockId, productId, quantity });
  keys.remember(keyed, { target: restockId, answer: "" }, transaction);
  return { restockId, productId, quantity, replayed: false };
}
