import { OrderCancelled, OrderPlaced, Restock, StockChanged } from "@distributed-messaging/contracts";
import { type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import { availableOf, decide, type Input } from "./domain.ts";
import type { InventoryStore, Product } from "./store.ts";

/** Each message is one decision. */
export function inventoryHandlers(store: InventoryStore): readonly Handler[] {
  const carryOut = (input: Input, transaction: Transaction) => {
    const decision = decide(input, store);
    store.save(decision, transaction);
    for (const { definition, data } of decision.messages) transaction.emit(definition, data);
    for (const { productId, onHand, reserved } of decision.stock) {
      const product = store.product(productId);
      if (product !== undefined) changeProduct(store, { ...product, onHand, reserved }, transaction);
    }
  };
  return [
    on(OrderPlaced, ({ data: { orderId, items } }, transaction) => {
      const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
      carryOut({ kind: "place", orderId, lines }, transaction);
    }),
    on(OrderCancelled, ({ data: { orderId } }, transaction) =>
      carryOut({ kind: "cancel", orderId }, transaction),
    ),
    on(Restock, ({ data }, transaction) => carryOut({ kind: "restock", ...data }, transaction)),
  ];
}

/** Saves a product and publishes its new state. */
export function changeProduct(
  store: InventoryStore,
  product: Omit<Product, "version">,
  transaction: Transaction,
): void {
  const { productId, name, price, version, ...stock } = store.saveProduct(product);
  transaction.emit(StockChanged, {
    productId,
    name,
    price,
    available: availableOf({ productId, ...stock }),
    version,
  });
}
