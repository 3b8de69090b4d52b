import {
  OrderBackordered,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  ProductWithdrawn,
  StockChanged,
} from "@distributed-messaging/contracts";
import { type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import type { Catalogue } from "./catalogue.ts";
import { type OrderEvent, project } from "./domain.ts";
import type { OrderViews } from "./store.ts";

/** Which messages the gateway takes, to keep its own copies of orders and products. */
export function gatewayHandlers(views: OrderViews, catalogue: Catalogue): readonly Handler[] {
  const follow = (event: OrderEvent & { time: string; source: string }, transaction: Transaction) => {
    const view = project(views.find(event.data.orderId), event);
    views.save(view, { at: Date.parse(event.time), type: event.type, service: event.source }, transaction);
  };
  return [
    on(OrderPlaced, follow),
    on(OrderBackordered, follow),
    on(OrderConfirmed, follow),
    on(OrderRejected, follow),
    on(StockChanged, ({ data }, transaction) => catalogue.save(data, transaction)),
    on(ProductWithdrawn, ({ data }, transaction) => catalogue.withdraw(data, transaction)),
  ];
}
