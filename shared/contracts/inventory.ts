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

/** More of a product has come in. `restockId` identifies the restock: two messages with it are one restock. */
export const Restock = define({
  type: "store.stock.restock.v1",
  kind: "command",
  source: "api-gateway",
  topic: topics.inventoryCommands,
  key: "productId",
  data: Type.Object({ restockId: Identifier, productId: ProductId, quantity: Quantity }, closed),
});

/** All lines of the order are reserved. */
export const StockReserved = define({
  type: "store.stock.reserved.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, lines: lines(Line) }, closed),
});

/**
 * Nothing is reserved: the order is short of some products and waits. Of a product that an earlier order with priority is
 * short of, `missing` is the whole quantity that this order asks for. Published again when the shortages have changed.
 */
export const StockShort = define({
  type: "store.stock.short.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, shortages: lines(Shortage), revision: Revision }, closed),
});

/** The order names an unknown product. */
export const StockRejected = define({
  type: "store.stock.rejected.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, reason: Reason }, closed),
});

/** The reserved stock of a cancelled order is available again. */
export const StockReleased = define({
  type: "store.stock.released.v1",
  kind: "event",
  source: "inventory",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, lines: lines(Line) }, closed),
});

const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** The whole state of a product, so that the topic can be compacted. */
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

/** The product is no longer sold. Replaces its last StockChanged when the topic is compacted. */
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
