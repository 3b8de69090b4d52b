import { closed, define } from "@distributed-messaging/messaging/contract";
import { type Static, Type } from "@sinclair/typebox";
import { CustomerId, lines, Money, OrderId, PricedLine, Reason, Revision, Shortage } from "./common.ts";
import { topics } from "./topics.ts";

/** Places an order at the prices that its customer saw. */
export const PlaceOrder = define({
  type: "store.order.place.v1",
  kind: "command",
  source: "api-gateway",
  topic: topics.orderCommands,
  key: "orderId",
  data: Type.Object(
    { orderId: OrderId, customerId: CustomerId, items: lines(PricedLine), total: Money },
    closed,
  ),
});

/** The order service has stored the order; its stock is not reserved yet. */
export const OrderPlaced = define({
  type: "store.order.placed.v1",
  kind: "event",
  source: "order",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object(
    { orderId: OrderId, customerId: CustomerId, items: lines(PricedLine), total: Money },
    closed,
  ),
});

/** Stock is short: the order waits. Published again when its shortages have changed. */
export const OrderBackordered = define({
  type: "store.order.backordered.v1",
  kind: "event",
  source: "order",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object(
    { orderId: OrderId, customerId: CustomerId, shortages: lines(Shortage), revision: Revision },
    closed,
  ),
});

/** All lines are reserved. */
export const OrderConfirmed = define({
  type: "store.order.confirmed.v1",
  kind: "event",
  source: "order",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, customerId: CustomerId }, closed),
});

/** The order can never be fulfilled. */
export const OrderRejected = define({
  type: "store.order.rejected.v1",
  kind: "event",
  source: "order",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, customerId: CustomerId, reason: Reason }, closed),
});

/** Requests the cancellation of an order for its customer; the order service decides. */
export const CancelOrder = define({
  type: "store.order.cancel.v1",
  kind: "command",
  source: "api-gateway",
  topic: topics.orderCommands,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, reason: Type.Literal("customer_request") }, closed),
});

/** `customer_request`: the customer requested it. `backorder_expired`: the order waited as long as it may. */
export const CancelReason = Type.Union([Type.Literal("customer_request"), Type.Literal("backorder_expired")]);
export type CancelReason = Static<typeof CancelReason>;

/** The order is cancelled: its reserved stock is to be released, and it leaves the wait queue. */
export const OrderCancelled = define({
  type: "store.order.cancelled.v1",
  kind: "event",
  source: "order",
  topic: topics.orderEvents,
  key: "orderId",
  data: Type.Object({ orderId: OrderId, customerId: CustomerId, reason: CancelReason }, closed),
});

export const orderMessages = [
  PlaceOrder,
  CancelOrder,
  OrderPlaced,
  OrderBackordered,
  OrderConfirmed,
  OrderRejected,
  OrderCancelled,
] as const;
