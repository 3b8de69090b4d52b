import { type Line, MAX_STOCK, StockRejected, StockReleased } from "@distributed-messaging/contracts";
import { DomainError, type Emission, emission } from "@distributed-messaging/messaging";
import { Allocation } from "./allocation.ts";
import type { Books, Restocking, Stock } from "./books.ts";

export { availableOf, type Books, type Reservation, type Restocking, type Stock } from "./books.ts";

/** What happened, or is asked for. */
export type Input =
  | { readonly kind: "place"; readonly orderId: string; readonly lines: readonly Line[] }
  | { readonly kind: "cancel"; readonly orderId: string }
  | ({ readonly kind: "restock" } & Restocking);

export interface Decision {
  readonly messages: readonly Emission[];
  /** Each product whose stock is different now. */
  readonly changed: readonly Stock[];
}

/**
 * Decides, and writes what becomes of orders and of the line into the books; the changed stock is for the caller to
 * save. Afterwards no waiting order could be served from what is available, if none could before.
 *
 * @throws DomainError when this can never be done; the books may have been changed by then
 */
export function decide(input: Input, books: Books): Decision {
  const allocation = new Allocation(books);
  switch (input.kind) {
    case "place":
      place(input, books, allocation);
      break;
    case "cancel":
      cancel(input, books, allocation);
      break;
    case "restock":
      restock(input, books, allocation);
      break;
    default:
      return input satisfies never;
  }
  return { messages: allocation.messages, changed: allocation.changed() };
}

type PlaceInput = Extract<Input, { kind: "place" }>;
type CancelInput = Extract<Input, { kind: "cancel" }>;

/** A new order goes to the end of the line, and is served at once if nobody before it is in its way. */
function place({ orderId, lines }: PlaceInput, books: Books, allocation: Allocation): void {
  // An order is placed once. One that is cancelled already was told of in the wrong order: it stays cancelled.
  if (books.reservation(orderId) !== undefined) return;
  if (new Set(lines.map(({ productId }) => productId)).size < lines.length) {
    throw new DomainError(`order ${orderId} names a product twice`);
  }
  const unknown = lines.find(({ productId }) => !allocation.knows(productId));
  if (unknown !== undefined) {
    books.settle({ status: "rejected", orderId });
    allocation.say(emission(StockRejected, { orderId, reason: `unknown product ${unknown.productId}` }));
    return;
  }
  allocation.take(orderId, lines);
}

/** What was set aside goes to those who wait; a place in line that is given up may let others go. */
function cancel({ orderId }: CancelInput, books: Books, allocation: Allocation): void {
  const reservation = books.reservation(orderId);
  switch (reservation?.status) {
    case undefined:
      books.settle({ status: "cancelled", orderId });
      return;
    case "waiting":
      books.leave(reservation);
      books.settle({ status: "cancelled", orderId });
      allocation.serve(reservation.lines.map(({ productId }) => productId));
      return;
    case "reserved":
      books.settle({ status: "cancelled", orderId });
      for (const line of reservation.lines) allocation.change(line.productId, { reserved: -line.quantity });
      allocation.say(emission(StockReleased, { orderId, lines: [...reservation.lines] }));
      allocation.serve(reservation.lines.map(({ productId }) => productId));
      return;
    case "rejected":
    case "cancelled":
      return;
    default:
      reservation satisfies never;
  }
}

function restock(input: Restocking, books: Books, allocation: Allocation): void {
  const { restockId, productId, quantity } = input;
  const before = books.restocking(restockId);
  if (before !== undefined) {
    if (before.productId === productId && before.quantity === quantity) return;
    throw new DomainError(`restock ${restockId} came before with other content`);
  }
  const stock = books.stock(productId);
  if (stock === undefined) throw new DomainError(`restock ${restockId}: there is no product ${productId}`);
  if (stock.onHand + quantity > MAX_STOCK) {
    throw new DomainError(
      `restock ${restockId}: ${stock.onHand} + ${quantity} of ${productId} is more than ${MAX_STOCK}`,
    );
  }
  books.addRestocking({ restockId, productId, quantity });
  allocation.change(productId, { onHand: quantity });
  allocation.serve([productId]);
}
