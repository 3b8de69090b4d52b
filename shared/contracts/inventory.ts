import { closed, define } from "@distributed-messaging/messaging/contract";
import { Type } from "@sinclair/typebox";
import {
  Identifier,
  Line,
  lines,
  MAX_STOCK,
  OrderId,
  ProductId,
  Quantity,
  Reason,
  Revision,
  Shortage,
  UnitPrice,
} from "./common.ts";
import { topics } from "./topics.ts";

/** More of a product has come in. `restockId` is its own: told twice, it has come in once. */
export const Restock = define({
  type: "store.stock.restock.v1",
  kind: "command",
  source: "api-gateway",
  topic: topics.inventoryCommands,
  key: "productId",
  data: Type.Object({ restockId: Identifier, productId: ProductId, quantity: Quantity }, closed),
});

/** Every line of the order is set aside for it. */
export const StockReserved = define({
  type: "store.stock.reserved.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, lines: lines(Line) }, closed),
});

/**
 * Nothing is set aside: some of it is missing, and the order waits in line. `missing` is what there is too little
 * of for this order: of a product that an earlier order waits for, all that it asks for. Told again when the order
 * is looked at again and lacks something else by then.
 */
export const StockShort = define({
  type: "store.stock.short.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, shortages: lines(Shortage), revision: Revision }, closed),
});

/** The order names a product that there is not. */
export const StockRejected = define({
  type: "store.stock.rejected.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, reason: Reason }, closed),
});

/** What was set aside for the order is free again, because it was cancelled. */
export const StockReleased = define({
  type: "store.stock.released.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, lines: lines(Line) }, closed),
});

const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** A product as it stands now: the whole of it, so that the last one is all that anybody needs. */
export const StockChanged = define({
  type: "store.stock.changed.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryStock,
  key: "productId",
  data: Type.Object(
    {
      productId: ProductId,
      name: Type.String({ minLength: 1, maxLength: 200 }),
      price: UnitPrice,
      available: Type.Integer({ minimum: 0, maximum: MAX_STOCK }),
      /** Grows with every change of this product: an older state never replaces a newer one. */
      version: Version,
    },
    closed,
  ),
});

/** The product is no longer sold. Takes the place of its last StockChanged when the topic is compacted. */
export const ProductWithdrawn = define({
  type: "store.product.withdrawn.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryStock,
  key: "productId",
  data: Type.Object({ productId: ProductId, version: Version }, closed),
});

export const inventoryMessages = [
  Restock,
  StockReserved,
  StockShort,
  StockRejected,
  StockReleased,
  StockChanged,
  ProductWithdrawn,
] as const;
