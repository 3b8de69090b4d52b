import {
  CancelOrder,
  PlaceOrder,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { type Handler, on, type TimerHandler, type Transaction } from "@distributed-messaging/messaging";
import { decide, type Input, type Order } from "./domain.ts";
import type { OrderStore } from "./store.ts";

/** The timer of a backordered order; its key is the order's id. */
const BACKORDER_EXPIRY = "backorder-expiry";
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Each message is one decision about one order.
 *
 * @param backorderTtlMs for how long an order may wait for stock, in milliseconds
 */
export function orderHandlers(store: OrderStore, backorderTtlMs = DAY_MS): readonly Handler[] {
  const take = (input: Input, transaction: Transaction) =>
    carryOut(input, store, backorderTtlMs, transaction);
  return [
    on(PlaceOrder, ({ data }, transaction) => take({ kind: "place", data }, transaction)),
    on(CancelOrder, ({ data }, transaction) => take({ kind: "cancel", data }, transaction)),
    on(StockReserved, ({ data }, transaction) => take({ kind: "reserved", data }, transaction)),
    on(StockShort, ({ data }, transaction) => take({ kind: "short", data }, transaction)),
    on(StockRejected, ({ data }, transaction) => take({ kind: "stock-rejected", data }, transaction)),
    on(StockReleased, ({ data }, transaction) => take({ kind: "released", data }, transaction)),
  ];
}

/** Each timer that is due is one decision about one order, too. */
export function orderTimers(store: OrderStore, backorderTtlMs = DAY_MS): readonly TimerHandler[] {
  return [
    {
      name: BACKORDER_EXPIRY,
      fire: ({ key: orderId }, transaction) =>
        carryOut({ kind: "expire", data: { orderId } }, store, backorderTtlMs, transaction),
    },
  ];
}

function carryOut(input: Input, store: OrderStore, backorderTtlMs: number, transaction: Transaction): void {
  const before = store.find(input.data.orderId);
  // A late or repeated message about an order that was final for long changes nothing.
  if (before === undefined && store.wasDeleted(input.data.orderId)) return;
  const { state, messages } = decide(before, input, { now: transaction.now, backorderTtlMs });
  if (before === undefined) store.add(state, transaction);
  else if (state !== before) store.change(state, transaction);
  setDeadline(before, state, transaction);
  for (const { definition, data } of messages) transaction.emit(definition, data);
}

/** An order has a timer exactly while it is backordered. */
function setDeadline(
  before: Order | undefined,
  { orderId, ...after }: Order,
  transaction: Transaction,
): void {
  const waited = before?.status === "backordered";
  if (after.status === "backordered") {
    if (!waited) transaction.setTimer({ name: BACKORDER_EXPIRY, key: orderId, dueAt: after.expiresAt });
  } else if (waited) transaction.cancelTimer(BACKORDER_EXPIRY, orderId);
}
