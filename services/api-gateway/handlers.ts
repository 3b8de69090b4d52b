import {
  OrderBackordered,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  OrderRejected,
  ProductWithdrawn,
  StockChanged,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { DomainError, type Handler, on } from "@distributed-messaging/messaging";
import type { HistoryEntry } from "./domain.ts";
import type { GatewayStore } from "./store.ts";

/** The part of an envelope that a history entry is made of. */
interface OrderMessage {
  readonly id: string;
  readonly causationid: string;
  readonly time: string;
  readonly source: string;
  readonly data: { readonly orderId: string };
}

/**
 * Apply other services' messages to the gateway's projections. The result does not depend on the order in which
 * messages arrive, nor on how often: the topics of the order service and of the inventory have no common order.
 */
export function gatewayHandlers(store: GatewayStore): readonly Handler[] {
  const apply = (message: OrderMessage, what: TypeAndDetails) =>
    store.applyEntry(message.data.orderId, entryOf(message, what));
  /** OrderPlaced precedes all other messages of the order service about an order. */
  const applyToKnown = (message: OrderMessage, what: TypeAndDetails) => {
    const { orderId } = message.data;
    if (!store.applyEntryOfKnown(orderId, entryOf(message, what)))
      throw new DomainError(`order ${orderId} is unknown`);
  };
  return [
    on(OrderPlaced, (message) => {
      store.applyOrder(message.data, Date.parse(message.time));
      apply(message, { type: message.type });
    }),
    on(OrderBackordered, (message) => {
      const { shortages, revision } = message.data;
      applyToKnown(message, { type: message.type, shortages, revision });
    }),
    on(OrderConfirmed, (message) => applyToKnown(message, { type: message.type })),
    on(OrderRejected, (message) =>
      applyToKnown(message, { type: message.type, reason: message.data.reason }),
    ),
    on(OrderCancelled, (message) =>
      applyToKnown(message, { type: message.type, reason: message.data.reason }),
    ),
    on(StockReserved, (message) => apply(message, { type: message.type })),
    on(StockShort, (message) => apply(message, { type: message.type, revision: message.data.revision })),
    on(StockRejected, (message) => apply(message, { type: message.type })),
    on(StockReleased, (message) => apply(message, { type: message.type })),
    on(StockChanged, ({ data }) => store.applyProduct(data)),
    on(ProductWithdrawn, ({ data }) => store.applyWithdrawal(data)),
  ];
}

type DistributiveOmit<Union, Keys extends PropertyKey> = Union extends unknown ? Omit<Union, Keys> : never;
type TypeAndDetails = DistributiveOmit<HistoryEntry, "id" | "cause" | "at" | "service">;

function entryOf(message: OrderMessage, what: TypeAndDetails): HistoryEntry {
  const { id, causationid: cause, source: service } = message;
  return { id, cause, service, at: Date.parse(message.time), ...what };
}
