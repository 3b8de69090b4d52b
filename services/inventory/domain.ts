import {
  type Line,
  MAX_STOCK,
  type Shortage,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { DomainError, type Emission, emission } from "@distributed-messaging/messaging";

/** A product's stock. At every commit: onHand = available + reserved, and none is negative. */
export interface Stock {
  readonly productId: string;
  readonly onHand: number;
  readonly reserved: number;
}

export function availableOf(stock: Stock): number {
  return stock.onHand - stock.reserved;
}

/** All lines of the order are reserved. */
interface Reserved {
  readonly status: "reserved";
  readonly orderId: string;
  readonly lines: readonly Line[];
}

/** The order is in the wait queue. */
export interface Waiting {
  readonly status: "waiting";
  readonly orderId: string;
  readonly lines: readonly Line[];
  /** Its position in the queue: orders with a lower number go first. */
  readonly arrival: number;
  /** The shortages that were published last, and how often some were. */
  readonly shortages: readonly Shortage[];
  readonly revision: number;
}

/** The order names an unknown product. */
interface Rejected {
  readonly status: "rejected";
  readonly orderId: string;
}

/** Nothing is reserved for the order, and nothing will be. */
interface Cancelled {
  readonly status: "cancelled";
  readonly orderId: string;
}

export type Reservation = Reserved | Waiting | Rejected | Cancelled;
/** A reservation to be stored: a new one gets its arrival then, after all others. */
export type ChangedReservation = Exclude<Reservation, Waiting> | Omit<Waiting, "arrival">;

export interface Restocking {
  readonly restockId: string;
  readonly productId: string;
  readonly quantity: number;
}

/** What a decision reads. It does not change meanwhile. */
export interface StockLedger {
  stock(productId: string): Stock | undefined;
  reservation(orderId: string): Reservation | undefined;
  restocking(restockId: string): Restocking | undefined;
  /** The first waiting order after an arrival that asks for a product, and for none of `without`. */
  nextWaiting(productId: string, after: number, without: ReadonlySet<string>): Waiting | undefined;
  /** The largest quantity of a product that a waiting order asks for; 0 when none does. */
  mostAsked(productId: string): number;
  /** The arrival of the first waiting order after an arrival that asks for more than a quantity of a product. */
  firstAskingForMore(productId: string, than: number, after: number): number | undefined;
  /** The arrivals of the waiting orders that ask for more than `above` and at most `upTo` of a product. */
  askingBetween(productId: string, above: number, upTo: number): readonly number[];
}

export type Input =
  | { readonly kind: "place"; readonly orderId: string; readonly lines: readonly Line[] }
  | { readonly kind: "cancel"; readonly orderId: string }
  | ({ readonly kind: "restock" } & Restocking);

/** What is to be stored and emitted. */
export interface Decision {
  readonly reservations: readonly ChangedReservation[];
  /** The orders that have left the wait queue. */
  readonly left: readonly Waiting[];
  readonly stock: readonly Stock[];
  readonly restocking?: Restocking;
  readonly messages: readonly Emission[];
}

/**
 * Decides what an input does to stock and reservations. Afterwards no waiting order could be served from available
 * stock, if none could before.
 *
 * @throws DomainError when the input can never be valid
 */
export function decide(input: Input, ledger: StockLedger): Decision {
  switch (input.kind) {
    case "place":
      return place(input, ledger);
    case "cancel":
      return cancel(input, ledger);
    case "restock":
      return restock(input, ledger);
    default:
      return input satisfies never;
  }
}

const NOTHING: Decision = { reservations: [], left: [], stock: [], messages: [] };

function place({ orderId, lines }: Extract<Input, { kind: "place" }>, ledger: StockLedger): Decision {
  // An order is placed once. One that is cancelled already stays cancelled.
  if (ledger.reservation(orderId) !== undefined) return NOTHING;
  if (new Set(lines.map(({ productId }) => productId)).size < lines.length) {
    throw new DomainError(`order ${orderId} names a product twice`);
  }
  const unknown = lines.find(({ productId }) => ledger.stock(productId) === undefined);
  if (unknown !== undefined) {
    const reason = `unknown product ${unknown.productId}`;
    return {
      ...NOTHING,
      reservations: [{ status: "rejected", orderId }],
      messages: [emission(StockRejected, { orderId, reason })],
    };
  }
  const allocation = new Allocation(ledger);
  allocation.place(orderId, lines);
  return allocation.decision();
}

function cancel({ orderId }: Extract<Input, { kind: "cancel" }>, ledger: StockLedger): Decision {
  const reservation = ledger.reservation(orderId);
  const allocation = new Allocation(ledger);
  switch (reservation?.status) {
    case undefined:
      return { ...NOTHING, reservations: [{ status: "cancelled", orderId }] };
    case "waiting":
      allocation.leave(reservation);
      return allocation.decision();
    case "reserved":
      allocation.release(reservation);
      return allocation.decision();
    case "rejected":
    case "cancelled":
      return NOTHING;
    default:
      return reservation satisfies never;
  }
}

function restock({ restockId, productId, quantity }: Restocking, ledger: StockLedger): Decision {
  const earlier = ledger.restocking(restockId);
  if (earlier !== undefined) {
    if (earlier.productId === productId && earlier.quantity === quantity) return NOTHING;
    throw new DomainError(`restock ${restockId} had other content before`);
  }
  const stock = ledger.stock(productId);
  if (stock === undefined) throw new DomainError(`restock ${restockId}: there is no product ${productId}`);
  if (stock.onHand + quantity > MAX_STOCK) {
    throw new DomainError(
      `restock ${restockId}: ${stock.onHand} + ${quantity} of ${productId} is more than ${MAX_STOCK}`,
    );
  }
  const allocation = new Allocation(ledger);
  allocation.add(productId, quantity);
  return { ...allocation.decision(), restocking: { restockId, productId, quantity } };
}

/**
 * One decision on stock, while it is being made.
 *
 * A waiting order is _short_ of a product when it asks for more of it than is available. An order may take a product
 * only if neither itself nor an earlier waiting order is short of it. So each product has a threshold: the arrival of
 * the first waiting order that is short of it. Every order from there on is blocked on the product, and none before.
 * Reserving stock only moves thresholds to earlier arrivals; new stock, and the first short order when it leaves the
 * queue, move them to later ones and unblock the orders in between.
 */
class Allocation {
  readonly #ledger: StockLedger;
  readonly #stored = new Map<string, Stock>();
  readonly #stock = new Map<string, Stock>();
  readonly #thresholds = new Map<string, number>();
  /** `mostAsked` of each product, at the beginning of the decision. */
  readonly #most = new Map<string, number>();
  readonly #reservations = new Map<string, ChangedReservation>();
  /** The orders that have left the queue in this decision, by arrival. */
  readonly #left = new Map<number, Waiting>();
  readonly #messages: Emission[] = [];

  constructor(ledger: StockLedger) {
    this.#ledger = ledger;
  }

  decision(): Decision {
    return {
      reservations: [...this.#reservations.values()],
      left: [...this.#left.values()],
      stock: this.#changed(),
      messages: this.#messages,
    };
  }

  /** Reserves a new order, or queues it behind all others. */
  place(orderId: string, lines: readonly Line[]): void {
    const shortages = this.#shortagesOf(lines, Number.POSITIVE_INFINITY);
    if (shortages.length === 0) {
      this.#reserve(orderId, lines);
      this.#publishShortages([], []);
    } else {
      this.#reservations.set(orderId, { status: "waiting", orderId, lines, shortages, revision: 1 });
      this.#messages.push(emission(StockShort, { orderId, shortages, revision: 1 }));
    }
  }

  /** Removes a cancelled order from the queue. */
  leave(order: Waiting): void {
    const { orderId, arrival, lines } = order;
    this.#reservations.set(orderId, { status: "cancelled", orderId });
    this.#left.set(arrival, order);
    const unblocked: string[] = [];
    for (const { productId } of lines) {
      if (this.#thresholdOf(productId) !== arrival) continue;
      this.#thresholds.set(productId, this.#queryThreshold(productId, arrival));
      unblocked.push(productId);
    }
    this.#serve(unblocked, arrival);
  }

  /** Returns the stock of a cancelled order. */
  release({ orderId, lines }: Reserved): void {
    this.#reservations.set(orderId, { status: "cancelled", orderId });
    this.#messages.push(emission(StockReleased, { orderId, lines: [...lines] }));
    for (const { productId, quantity } of lines) this.#change(productId, { reserved: -quantity });
    this.#serve(
      lines.map(({ productId }) => productId),
      0,
    );
  }

  /** Adds stock. */
  add(productId: string, quantity: number): void {
    this.#change(productId, { onHand: quantity });
    this.#serve([productId], 0);
  }

  /**
   * Serves waiting orders, in order of arrival, after the thresholds of products have moved to later arrivals. Only
   * orders that ask for one of these products and arrived before its threshold can have been unblocked. What blocks
   * one of them blocks every later order that asks for the same product, so those are not examined.
   *
   * @param after orders up to this arrival were not blocked on these products before
   */
  #serve(products: readonly string[], after: number): void {
    const candidates = new Map<string, Waiting>();
    const blockers = new Set<string>();
    const advance = (productId: string, from: number) => {
      const next = this.#ledger.nextWaiting(productId, from, blockers);
      if (next === undefined || next.arrival >= this.#thresholdOf(productId)) candidates.delete(productId);
      else candidates.set(productId, next);
    };
    for (const productId of products) advance(productId, after);
    const blocked: Waiting[] = [];
    for (let next = earliest(candidates); next !== undefined; next = earliest(candidates)) {
      const { orderId, arrival, lines } = next;
      const blocking = lines.filter(({ productId }) => this.#thresholdOf(productId) <= arrival);
      if (blocking.length === 0) {
        this.#left.set(arrival, next);
        this.#reserve(orderId, lines);
      } else {
        blocked.push(next);
        for (const { productId } of blocking) blockers.add(productId);
      }
      for (const [productId, candidate] of candidates) {
        if (candidate.arrival === arrival) advance(productId, arrival);
      }
    }
    this.#publishShortages(products, blocked);
  }

  #reserve(orderId: string, lines: readonly Line[]): void {
    for (const { productId, quantity } of lines) {
      const before = this.#available(productId);
      let threshold = this.#thresholdOf(productId);
      this.#change(productId, { reserved: quantity });
      // The orders that are short now and were not before.
      const short = this.#mostAsked(productId) > before - quantity;
      for (const arrival of short ? this.#ledger.askingBetween(productId, before - quantity, before) : []) {
        if (arrival < threshold && !this.#left.has(arrival)) threshold = arrival;
      }
      this.#thresholds.set(productId, threshold);
    }
    this.#reservations.set(orderId, { status: "reserved", orderId, lines });
    this.#messages.push(emission(StockReserved, { orderId, lines: [...lines] }));
  }

  /**
   * Publishes the shortages that have changed of the orders that were examined, and of the first order that is short
   * of each product whose stock or threshold has changed.
   */
  #publishShortages(moved: readonly string[], examined: readonly Waiting[]): void {
    const orders = new Map(examined.map((order) => [order.arrival, order]));
    for (const productId of [...moved, ...this.#changed().map((stock) => stock.productId)]) {
      const threshold = this.#thresholdOf(productId);
      if (threshold === Number.POSITIVE_INFINITY || orders.has(threshold)) continue;
      const first = this.#ledger.nextWaiting(productId, threshold - 1, NO_PRODUCTS);
      if (first !== undefined) orders.set(threshold, first);
    }
    for (const order of orders.values()) {
      const { orderId, arrival, lines } = order;
      const shortages = this.#shortagesOf(lines, arrival);
      if (Bun.deepEquals(shortages, order.shortages)) continue;
      const revision = order.revision + 1;
      this.#reservations.set(orderId, { status: "waiting", orderId, lines, shortages, revision });
      this.#messages.push(emission(StockShort, { orderId, shortages, revision }));
    }
  }

  /** Of a product that an earlier order is short of, all that is asked for: what is available is not for this order. */
  #shortagesOf(lines: readonly Line[], arrival: number): Shortage[] {
    return lines.flatMap(({ productId, quantity }) => {
      const isBehind = this.#thresholdOf(productId) < arrival;
      const missing = isBehind ? quantity : quantity - this.#available(productId);
      return missing > 0 ? [{ productId, missing }] : [];
    });
  }

  /** The arrival of the first order that is short of a product; infinite when none is. */
  #thresholdOf(productId: string): number {
    let threshold = this.#thresholds.get(productId);
    if (threshold === undefined) {
      threshold = this.#queryThreshold(productId, 0);
      this.#thresholds.set(productId, threshold);
    }
    return threshold;
  }

  #queryThreshold(productId: string, after: number): number {
    const available = this.#available(productId);
    if (this.#mostAsked(productId) <= available) return Number.POSITIVE_INFINITY;
    return this.#ledger.firstAskingForMore(productId, available, after) ?? Number.POSITIVE_INFINITY;
  }

  #mostAsked(productId: string): number {
    let most = this.#most.get(productId);
    if (most === undefined) {
      most = this.#ledger.mostAsked(productId);
      this.#most.set(productId, most);
    }
    return most;
  }

  #change(productId: string, by: { readonly onHand?: number; readonly reserved?: number }): void {
    const { onHand, reserved } = this.#stockOf(productId);
    this.#stock.set(productId, {
      productId,
      onHand: onHand + (by.onHand ?? 0),
      reserved: reserved + (by.reserved ?? 0),
    });
    this.#thresholds.delete(productId);
  }

  #changed(): Stock[] {
    return [...this.#stock.values()].filter(
      (stock) => !Bun.deepEquals(stock, this.#stored.get(stock.productId)),
    );
  }

  #available(productId: string): number {
    return availableOf(this.#stockOf(productId));
  }

  #stockOf(productId: string): Stock {
    const known = this.#stock.get(productId);
    if (known !== undefined) return known;
    const found = this.#ledger.stock(productId);
    if (found === undefined) throw new DomainError(`there is no product ${productId}`);
    const stock = { productId, onHand: found.onHand, reserved: found.reserved };
    this.#stored.set(productId, stock);
    this.#stock.set(productId, stock);
    return stock;
  }
}

const NO_PRODUCTS: ReadonlySet<string> = new Set();

function earliest(candidates: ReadonlyMap<string, Waiting>): Waiting | undefined {
  let first: Waiting | undefined;
  for (const order of candidates.values()) {
    if (first === undefined || order.arrival < first.arrival) first = order;
  }
  return first;
}
