import { Type } from "@sinclair/typebox";
import { CustomerId, closed, lines, Money, OrderId, PricedLine, Reason, Shortage } from "./common.ts";
import { define } from "./definition.ts";
import { topics } from "./topics.ts";

/** The gateway asks for an order at the prices that its customer saw. */
export const PlaceOrder = define({
  type: "store.order.place.v1",
  kind: "command",
  topic: topics.orderCommands,
  key: "orderId",
  data: Type.Object(
    { orderId: OrderId, customerId: CustomerId, items: lines(PricedLine), total: Money },
    closed,
  ),
});

/** The order service has taken the order in; its stock is still to be reserved. */
export const OrderPlaced = define({
  type: "store.order.placed.v1",
  kind: "event",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object(
    { orderId: OrderId, customerId: CustomerId, items: lines(PricedLine), total: Money },
    closed,
  ),
});

/** Stock is short: the order waits. */
export const OrderBackordered = define({
  type: "store.order.backordered.v1",
  kind: "event",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, customerId: CustomerId, shortages: lines(Shortage) }, closed),
});

/** All lines are reserved. */
export const OrderConfirmed = define({
  type: "store.order.confirmed.v1",
  kind: "event",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, customerId: CustomerId }, closed),
});

/** The order can never be served. */
export const OrderRejected = define({
  type: "store.order.rejected.v1",
  kind: "event",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, customerId: CustomerId, reason: Reason }, closed),
});

export const orderMessages = [
  PlaceOrder,
  OrderPlaced,
  OrderBackordered,
  OrderConfirmed,
  OrderRejected,
] as const;
