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
import type { Catalogue } from "./catalogue.ts";
import type { Step } from "./domain.ts";
import type { OrderViews } from "./store.ts";

/** The part of an envelope that a step is made of. */
interface Told {
  readonly id: string;
  readonly causationid: string;
  readonly time: string;
  readonly source: string;
  readonly data: { readonly orderId: string };
}

/**
 * Which messages the gateway takes, to keep its own copies of orders and products. All that they write is the same
 * whatever comes first and however often it comes: there is no order between what the order service tells and what
 * the inventory does.
 */
export function gatewayHandlers(views: OrderViews, catalogue: Catalogue): readonly Handler[] {
  const learn = (told: Told, what: TypeAndDetails, transaction: Transaction) => {
    const { id, causationid: cause, source: service } = told;
    const step: Step = { id, cause, service, at: Date.parse(told.time), ...what };
    views.learnStep(told.data.orderId, step, transaction);
  };
  /** What the order service tells of an order comes after it has told that there is one. */
  const learnOfKnown = (told: Told, what: TypeAndDetails, transaction: Transaction) => {
    const { orderId } = told.data;
    if (views.placed(orderId) === undefined) throw new DomainError(`nothing is known of order ${orderId}`);
    learn(told, what, transaction);
  };
  return [
    on(OrderPlaced, (message, transaction) => {
      views.learn(message.data, Date.parse(message.time), transaction);
      learn(message, { type: message.type }, transaction);
    }),
    on(OrderBackordered, (message, transaction) => {
      const { type, data } = message;
      const { shortages, revision } = data;
      learnOfKnown(message, { type, shortages, revision }, transaction);
    }),
    on(OrderConfirmed, (message, transaction) => {
      learnOfKnown(message, { type: message.type }, transaction);
    }),
    on(OrderRejected, (message, transaction) => {
      learnOfKnown(message, { type: message.type, reason: message.data.reason }, transaction);
    }),
    on(OrderCancelled, (message, transaction) => {
      learnOfKnown(message, { type: message.type, reason: message.data.reason }, transaction);
    }),
    on(StockReserved, (message, transaction) => learn(message, { type: message.type }, transaction)),
    on(StockShort, (message, transaction) => {
      learn(message, { type: message.type, revision: message.data.revision }, transaction);
    }),
    on(StockRejected, (message, transaction) => learn(message, { type: message.type }, transaction)),
    on(StockReleased, (message, transaction) => learn(message, { type: message.type }, transaction)),
    on(StockChanged, ({ data }, transaction) => catalogue.save(data, transaction)),
    on(ProductWithdrawn, ({ data }, transaction) => catalogue.withdraw(data, transaction)),
  ];
}

type DistributiveOmit<Union, Keys extends PropertyKey> = Union extends unknown ? Omit<Union, Keys> : never;
type TypeAndDetails = DistributiveOmit<Step, "id" | "cause" | "at" | "service">;
