import { Type } from "@sinclair/typebox";
import { closed, Line, lines, MAX_STOCK, OrderId, ProductId, Reason, Shortage, UnitPrice } from "./common.ts";
import { define } from "./definition.ts";
import { topics } from "./topics.ts";

/** Every line of the order is set aside for it. */
export const StockReserved = define({
  type: "store.stock.reserved.v1",
  kind: "event",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, lines: lines(Line) }, closed),
});

/** Nothing is set aside: some of it is missing, and the order waits in line. */
export const StockShort = define({
  type: "store.stock.short.v1",
  kind: "event",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, shortages: lines(Shortage) }, closed),
});

/** The order names a product that there is not. */
export const StockRejected = define({
  type: "store.stock.rejected.v1",
  kind: "event",
  topic: topics.inventoryEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, reason: Reason }, closed),
});

const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** A product as it stands now: the whole of it, so that the last one is all that anybody needs. */
export const StockChanged = define({
  type: "store.stock.changed.v1",
  kind: "event",
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
  topic: topics.inventoryStock,
  key: "productId",
  data: Type.Object({ productId: ProductId, version: Version }, closed),
});

export const inventoryMessages = [
  StockReserved,
  StockShort,
  StockRejected,
  StockChanged,
  ProductWithdrawn,
] as const;
