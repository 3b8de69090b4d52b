import type { Line, Shortage } from "@distributed-messaging/contracts";

/** What is there of a product. At every commit: onHand = available + reserved, and none is negative. */
export interface Stock {
  readonly productId: string;
  readonly onHand: number;
  readonly reserved: number;
}

export function availableOf(stock: Stock): number {
  return stock.onHand - stock.reserved;
}

/** All its lines are set aside for it. */
export interface Reserved {
  readonly status: "reserved";
  readonly orderId: string;
  readonly lines: readonly Line[];
}

/** It stands in line. */
export interface Waiting {
  readonly status: "waiting";
  readonly orderId: string;
  readonly lines: readonly Line[];
  /** Its place in line: those with a lower number go first. */
  readonly arrival: number;
  /** What it was last told that it lacks, and how often it was told so far. */
  readonly shortages: readonly Shortage[];
  readonly revision: number;
}

/** It names a product that there is not. */
export interface Rejected {
  readonly status: "rejected";
  readonly orderId: string;
}

/** Nothing is set aside for it any more, and nothing will be. */
export interface Cancelled {
  readonly status: "cancelled";
  readonly orderId: string;
}

export type Reservation = Reserved | Waiting | Rejected | Cancelled;

/**
 * The waiting orders that ask for the same products. Whatever blocks the first of them blocks all, so only the first
 * is ever looked at.
 */
export interface Lane {
  readonly laneId: number;
  readonly products: readonly string[];
  /** The arrival of its first order. */
  readonly head: number;
}

export interface Restocking {
  readonly restockId: string;
  readonly productId: string;
  readonly quantity: number;
}

/**
 * What the inventory knows, as far as its decisions ask for it, and where they write down what they change. One
 * implementation is tables, one is plain maps; the tests hold both to the same.
 */
export interface Books {
  stock(productId: string): Stock | undefined;
  reservation(orderId: string): Reservation | undefined;
  /** Writes down what became of an order that does not stand in line (any more). */
  settle(reservation: Exclude<Reservation, Waiting>): void;
  restocking(restockId: string): Restocking | undefined;
  addRestocking(restocking: Restocking): void;

  /**
   * Puts an order at the end of the line, where it is told for the first time what it lacks.
   *
   * @param blocker a product that keeps it from being served: what its lane watches, if it is the first in it
   */
  join(order: Omit<Waiting, "status" | "arrival" | "revision">, blocker: string): void;
  /** Takes an order out of the line, wherever it stands. */
  leave(order: Waiting): void;
  /** Remembers what a waiting order is told that it lacks. @returns how often it was told so far */
  tell(order: Waiting, shortages: readonly Shortage[]): number;
  /** The order with a place in line. @throws when nobody stands there */
  waitingAt(arrival: number): Waiting;
  /** The arrival of the first in line that asks for more than so much of a product. */
  firstAskingForMore(productId: string, than: number): number | undefined;
  /**
   * Of the lanes that watch a product, the one whose head came first.
   *
   * @param before only if its head came before this arrival
   */
  firstLaneWatching(productId: string, before: number | undefined): Lane | undefined;
  /** From now on it is this product that keeps the lane from being served. */
  watch(lane: Lane, productId: string): void;
}
