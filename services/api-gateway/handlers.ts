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
import { DomainError, type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import { type HistoryEntry, type Status, statusAfter } from "./domain.ts";
import type { GatewayStore } from "./store.ts";

/** The part of an envelope that a history entry is made of. */
interface OrderMessage {
  readonly id: string;
  readonly causationid: string;
  readonly time: string;
  readonly source: string;
  readonly data: { readonly orderId: string };
}

/** Is told how long after it was placed an order got to a status, as customers see it. */
export type StatusTimes = (status: Status, seconds: number) => void;

/**
 * Apply other services' messages to the gateway's projections. The result does not depend on the order in which
 * messages arrive, nor on how often: the topics of the order service and of the inventory have no common order.
 *
 * @param reached not given by a rebuild, which applies what was shown before
 */
export function gatewayHandlers(store: GatewayStore, reached: StatusTimes = () => {}): readonly Handler[] {
  const measure = (what: TypeAndDetails, placedAt: number, transaction: Transaction) => {
    const status = statusAfter(what);
    if (status === undefined) return;
    const seconds = Math.max(0, transaction.now - placedAt) / 1000;
    transaction.afterCommit(() => reached(status, seconds));
  };
  const apply = (message: OrderMessage, what: TypeAndDetails) =>
    store.applyEntry(message.data.orderId, entryOf(message, what));
  /** OrderPlaced precedes all other messages of the order service about an order. */
  const applyToKnown = (message: OrderMessage, what: TypeAndDetails, transaction: Transaction) => {
    const { orderId } = message.data;
    const onApplied = (placedAt: number) => measure(what, placedAt, transaction);
    if (!store.applyEntryOfKnown(orderId, entryOf(message, what), onApplied))
      throw new DomainError(`order ${orderId} is unknown`);
  };
  return [
    on(OrderPlaced, (message, transaction) => {
      const what = { type: message.type };
      measure(what, store.applyOrder(message.data, Date.parse(message.time)), transaction);
      apply(message, what);
    }),
    on(OrderBackordered, (message, transaction) => {
      const { shortages, revision } = message.data;
      applyToKnown(message, { type: message.type, shortages, revision }, transaction);
    }),
    on(OrderConfirmed, (message, transaction) => applyToKnown(message, { type: message.type }, transaction)),
    on(OrderRejected, (message, transaction) =>
      applyToKnown(message, { type: message.type, reason: message.data.reason }, transaction),
    ),
    on(OrderCancelled, (message, transaction) =>
      applyToKnown(message, { type: message.type, reason: message.data.reason }, transaction),
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
