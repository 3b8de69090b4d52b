import {
  OrderCancelled,
  type OrderPlaced,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import type { Input as StockInput } from "@distributed-messaging/inventory/domain";
import type { DataOf, Emission } from "@distributed-messaging/messaging";
import type { Input as OrderInput } from "@distributed-messaging/order/domain";

/** What a message of the inventory is to the order service, as its handlers have it. */
export function orderInputOf({ definition, data }: Emission): OrderInput {
  switch (definition) {
    case StockReserved:
      return { kind: "reserved", data: data as DataOf<typeof StockReserved> };
    case StockShort:
      return { kind: "short", data: data as DataOf<typeof StockShort> };
    case StockRejected:
      return { kind: "stock-rejected", data: data as DataOf<typeof StockRejected> };
    case StockReleased:
      return { kind: "released", data: data as DataOf<typeof StockReleased> };
    default:
      throw new Error(`the order service does not take ${definition.type}`);
  }
}

/** What a message of the order service is to the inventory, as its handlers have it. */
export function stockInputOf({ definition, data }: Emission): StockInput {
  const { orderId, items = [] } = data as Partial<DataOf<typeof OrderPlaced>> & { orderId: string };
  if (definition === OrderCancelled) return { kind: "cancel", orderId };
  const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
  return { kind: "place", orderId, lines };
}
