import {
  OrderPlaced,
  StockChanged,
  StockRejected,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import { availableOf, reserve } from "./domain.ts";
import type { InventoryStore, Product } from "./store.ts";

/** Which messages the inventory takes. */
export function inventoryHandlers(store: InventoryStore): readonly Handler[] {
  return [
    on(OrderPlaced, ({ data: { orderId, items } }, transaction) => {
      // An order is placed once; a second telling of it under another id changes nothing.
      if (store.reservationStatus(orderId) !== undefined) return;
      const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
      const products = new Map<string, Product>();
      const result = reserve(lines, (productId) => {
        const product = store.product(productId);
        if (product !== undefined) products.set(productId, product);
        return product;
      });
      switch (result.outcome) {
        case "reserved":
          store.saveReservation(orderId, "reserved", lines, transaction);
          for (const stock of result.stock) {
            const product = products.get(stock.productId);
            if (product !== undefined) changeProduct(store, { ...product, ...stock }, transaction);
          }
          transaction.emit(StockReserved, { orderId, lines });
          return;
        case "short":
          store.saveReservation(orderId, "waiting", lines, transaction);
          transaction.emit(StockShort, { orderId, shortages: [...result.shortages] });
          return;
        case "rejected":
          store.saveReservation(orderId, "rejected", lines, transaction);
          transaction.emit(StockRejected, { orderId, reason: result.reason });
          return;
        default:
          result satisfies never;
      }
    }),
  ];
}

/** Saves a product and tells everybody how it stands now. */
export function changeProduct(
  store: InventoryStore,
  product: Omit<Product, "version">,
  transaction: Transaction,
): void {
  const { productId, name, price, version, ...stock } = store.saveProduct(product, transaction);
  transaction.emit(StockChanged, {
    productId,
    name,
    price,
    available: availableOf({ productId, ...stock }),
    version,
  });
}
