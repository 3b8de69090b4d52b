import { PlaceOrder, StockRejected, StockReserved, StockShort } from "@distributed-messaging/contracts";
import { type Handler, on, type Transaction } from "@distributed-messaging/messaging";
import { decide, type Input } from "./domain.ts";
import type { OrderStore } from "./store.ts";

/** Which messages the order service takes, and that each of them is one decision about one order. */
export function orderHandlers(store: OrderStore): readonly Handler[] {
  const carryOut = (input: Input, transaction: Transaction) => {
    const { state, messages } = decide(store.find(input.data.orderId), input);
    store.save(state, transaction);
    for (const { definition, data } of messages) transaction.emit(definition, data);
  };
  return [
    on(PlaceOrder, ({ data }, transaction) => carryOut({ kind: "place", data }, transaction)),
    on(StockReserved, ({ data }, transaction) => carryOut({ kind: "reserved", data }, transaction)),
    on(StockShort, ({ data }, transaction) => carryOut({ kind: "short", data }, transaction)),
    on(StockRejected, ({ data }, transaction) => carryOut({ kind: "stock-rejected", data }, transaction)),
  ];
}
