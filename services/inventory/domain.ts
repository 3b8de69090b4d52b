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
  /** Undefined for an order that was placed before the inventory kept it. */
  readonly customerId: string | undefined;
  /** Its position in the queue: orders with a lower number go first. */
  readonly arrival: number;
  /**
   * Until when no later order may take what it is short of, in milliseconds since the epoch. Undefined once that time
   * has passed, and for an order that has no priority.
   */
  readonly priorityUntil: number | undefined;
  /** The shortages that were published last, and how often some were. */
  readonly shortages: readonly Shortage[];
  readonly revision: number;
}

/** The order names an unknown product, or its customer has too many waiting orders. */
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
export type ChangedReservation = Exclude<Reservation, Waiting> | NewlyWaiting | Waiting;
export type NewlyWaiting = Omit<Waiting, "arrival">;

export interface Restocking {
  readonly restockId: string;
  readonly productId: string;
  readonly quantity: number;
}

/** The time during which the waiting orders of a customer have priority. A customer has one in `PRIORITY_PERIOD_MS`. */
export interface PriorityWindow {
  readonly customerId: string;
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
}

export interface EndingPriority {
  readonly orderId: string;
  /** Milliseconds since the epoch. */
  readonly priorityUntil: number;
}

/** What a decision reads. It does not change meanwhile. */
export interface StockLedger {
  stock(productId: string): Stock | undefined;
  reservation(orderId: string): Reservation | undefined;
  restocking(restockId: string): Restocking | undefined;
  /** When the latest priority window of a customer was opened. */
  windowOf(customerId: string): number | undefined;
  /** The order whose priority ends first; of several, the one that arrived first. */
  firstPriority(): EndingPriority | undefined;
  /** How many orders of a customer wait. */
  waitingOf(customerId: string): number;
  /** The first waiting order after an arrival that asks for a product, and for at most each limit of its product. */
  nextWaiting(productId: string, after: number, limits: ReadonlyMap<string, number>): Waiting | undefined;
  /** The largest quantity of a product that an order with priority waits for; 0 when none does. */
  mostAsked(productId: string): number;
  /** The arrival of the first order with priority after an arrival that waits for more than a quantity of a product. */
  firstAskingForMore(productId: string, than: number, after: number): number | undefined;
  /** The arrivals of the orders with priority that wait for more than `above` and at most `upTo` of a product. */
  askingBetween(productId: string, above: number, upTo: number): readonly number[];
}

/** What waiting orders may hold back from others: see docs/decisions/0036. */
export interface QueuePolicy {
  /** For how long the waiting orders of a customer have priority, in milliseconds. */
  readonly priorityMs: number;
  /** An order for more pieces than this has no priority. */
  readonly priorityQuantity: number;
  /** How many orders of one customer may wait. */
  readonly maxWaiting: number;
}

export interface Moment {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly policy: QueuePolicy;
}

/** The time from the beginning of a customer's priority window to the earliest beginning of the next one. */
export const PRIORITY_PERIOD_MS = 24 * 60 * 60 * 1000;

export type Input =
  | {
      readonly kind: "place";
      readonly orderId: string;
      readonly customerId: string;
      readonly lines: readonly Line[];
    }
  | { readonly kind: "cancel"; readonly orderId: string }
  | ({ readonly kind: "restock" } & Restocking);

/** The priority of a waiting order has ended. */
interface Lapse {
  readonly kind: "lapse";
  readonly orderId: string;
}

/** What is to be stored and emitted. */
export interface Decision {
  readonly reservations: readonly ChangedReservation[];
  /** The orders that have left the wait queue. */
  readonly left: readonly Waiting[];
  readonly stock: readonly Stock[];
  readonly restocking?: Restocking;
  readonly window?: PriorityWindow;
  readonly messages: readonly Emission[];
}

/**
 * Decides what an input does to stock and reservations, and before it what each priority does that has ended by then:
 * one after the other in order of their ends, so that the outcome does not depend on when a timer fires. Each decision
 * is to be saved before the next one is taken.
 *
 * @param input undefined when only priorities have ended
 * @throws DomainError when the input can never be valid
 */
export function* decisionsOn(
  input: Input | undefined,
  ledger: StockLedger,
  moment: Moment,
): Generator<Decision, void, void> {
  for (let first = ledger.firstPriority(); first !== undefined; first = ledger.firstPriority()) {
    if (first.priorityUntil > moment.now) break;
    yield decide({ kind: "lapse", orderId: first.orderId }, ledger, moment);
  }
  if (input !== undefined) yield decide(input, ledger, moment);
}

/**
 * Decides what an input does to stock and reservations. Afterwards no waiting order could be served from available
 * stock, if none could before.
 *
 * @throws DomainError when the input can never be valid
 */
function decide(input: Input | Lapse, ledger: StockLedger, moment: Moment): Decision {
  switch (input.kind) {
    case "place":
      return place(input, ledger, moment);
    case "cancel":
      return cancel(input, ledger);
    case "lapse":
      return lapse(input, ledger);
    case "restock":
      return restock(input, ledger);
    default:
      return input satisfies never;
  }
}

const NOTHING: Decision = { reservations: [], left: [], stock: [], messages: [] };

type Place = Extract<Input, { kind: "place" }>;

function place(input: Place, ledger: StockLedger, moment: Moment): Decision {
  const { orderId, lines } = input;
  // An order is placed once. One that is cancelled already stays cancelled.
  if (ledger.reservation(orderId) !== undefined) return NOTHING;
  if (new Set(lines.map(({ productId }) => productId)).size < lines.length) {
    throw new DomainError(`order ${orderId} names a product twice`);
  }
  const allocation = new Allocation(ledger);
  const unknown = lines.find(({ productId }) => !allocation.knows(productId));
  if (unknown !== undefined) return reject(orderId, `unknown product ${unknown.productId}`);
  if (allocation.reserve(orderId, lines)) return allocation.decision();
  const { customerId } = input;
  if (ledger.waitingOf(customerId) >= moment.policy.maxWaiting) {
    const { maxWaiting } = moment.policy;
    const verb = maxWaiting === 1 ? "waits" : "wait";
    return reject(orderId, `${maxWaiting} of your orders ${verb} for stock already`);
  }
  const priority = priorityOf(input, ledger.windowOf(customerId), moment);
  allocation.queue(input, priority?.until);
  const { openedAt } = priority ?? {};
  return {
    ...allocation.decision(),
    ...(openedAt === moment.now ? { window: { customerId, openedAt } } : {}),
  };
}

function reject(orderId: string, reason: string): Decision {
  return {
    ...NOTHING,
    reservations: [{ status: "rejected", orderId }],
    messages: [emission(StockRejected, { orderId, reason })],
  };
}

/** The priority of an order that has to wait, if it has any: until the end of its customer's window. */
function priorityOf(
  { lines }: Place,
  latest: number | undefined,
  { now, policy: { priorityMs, priorityQuantity } }: Moment,
): { readonly openedAt: number; readonly until: number } | undefined {
  const pieces = lines.reduce((sum, { quantity }) => sum + quantity, 0);
  if (pieces > priorityQuantity) return undefined;
  // One that was opened later than now was opened before the clock was set back.
  const isCurrent = latest !== undefined && latest <= now && now < latest + PRIORITY_PERIOD_MS;
  const openedAt = isCurrent ? latest : now;
  const until = openedAt + priorityMs;
  return until > now ? { openedAt, until } : undefined;
}

function lapse({ orderId }: Lapse, ledger: StockLedger): Decision {
  const reservation = ledger.reservation(orderId);
  if (reservation?.status !== "waiting" || reservation.priorityUntil === undefined) return NOTHING;
  const allocation = new Allocation(ledger);
  allocation.lapse(reservation);
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
 * only if neither itself nor an earlier waiting order with priority is short of it. So each product has a threshold: the
 * arrival of the first order with priority that is short of it. Every order from there on is blocked on the product;
 * before it, only those are that are short of it themselves. Reserving stock only moves thresholds to earlier arrivals;
 * new stock, and the order at the threshold when it leaves the queue or loses its priority, move them to later ones and
 * unblock the orders in between.
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
  /** The arrival of the order that has lost its priority in this decision. */
  #lapsed: number | undefined;
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

  knows(productId: string): boolean {
    return this.#find(productId) !== undefined;
  }

  /** Reserves a new order, unless it has to wait. @returns whether it is reserved */
  reserve(orderId: string, lines: readonly Line[]): boolean {
    if (this.#shortagesOf(lines, Number.POSITIVE_INFINITY).length > 0) return false;
    this.#reserve(orderId, lines);
    this.#publishShortages([], []);
    return true;
  }

  /** Queues a new order behind all others. */
  queue({ orderId, customerId, lines }: Omit<Place, "kind">, priorityUntil: number | undefined): void {
    const shortages = this.#shortagesOf(lines, Number.POSITIVE_INFINITY);
    const waiting = { orderId, customerId, lines, priorityUntil, shortages, revision: 1 };
    this.#reservations.set(orderId, { status: "waiting", ...waiting });
    this.#messages.push(emission(StockShort, { orderId, shortages, revision: 1 }));
  }

  /** Removes a cancelled order from the queue. */
  leave(order: Waiting): void {
    const { orderId, arrival } = order;
    this.#reservations.set(orderId, { status: "cancelled", orderId });
    this.#left.set(arrival, order);
    this.#serve(this.#unblock(order), arrival, []);
  }

  /** Ends the priority of an order, which keeps its place in the queue. */
  lapse(order: Waiting): void {
    const lapsed = { ...order, priorityUntil: undefined };
    this.#lapsed = order.arrival;
    this.#reservations.set(order.orderId, lapsed);
    this.#serve(this.#unblock(order), order.arrival, [lapsed]);
  }

  /** Returns the stock of a cancelled order. */
  release({ orderId, lines }: Reserved): void {
    this.#reservations.set(orderId, { status: "cancelled", orderId });
    this.#messages.push(emission(StockReleased, { orderId, lines: [...lines] }));
    for (const { productId, quantity } of lines) this.#change(productId, { reserved: -quantity });
    this.#serve(
      lines.map(({ productId }) => productId),
      0,
      [],
    );
  }

  /** Adds stock. */
  add(productId: string, quantity: number): void {
    this.#change(productId, { onHand: quantity });
    this.#serve([productId], 0, []);
  }

  /** Moves the thresholds at which an order is, which no longer blocks others. @returns their products */
  #unblock({ arrival, lines }: Waiting): string[] {
    const unblocked: string[] = [];
    for (const { productId } of lines) {
      if (this.#thresholdOf(productId) !== arrival) continue;
      this.#thresholds.set(productId, this.#queryThreshold(productId, arrival));
      unblocked.push(productId);
    }
    return unblocked;
  }

  /**
   * Serves waiting orders, in order of arrival, after the stock of products has grown or their thresholds have moved to
   * later arrivals. Only orders that ask for one of these products and arrived before its threshold can have been
   * unblocked. What blocks one of them also blocks every later order that asks for as much of the same product, so
   * those are not examined.
   *
   * @param after orders up to this arrival were not blocked on these products before
   * @param examined orders whose shortages may have changed
   */
  #serve(products: readonly string[], after: number, examined: readonly Waiting[]): void {
    const candidates = new Map<string, Waiting>();
    const limits = new Map<string, number>();
    const advance = (productId: string, from: number) => {
      const next = this.#ledger.nextWaiting(productId, from, limits);
      if (next === undefined || next.arrival >= this.#thresholdOf(productId)) candidates.delete(productId);
      else candidates.set(productId, next);
    };
    for (const productId of products) advance(productId, after);
    const blocked = [...examined];
    for (let next = earliest(candidates); next !== undefined; next = earliest(candidates)) {
      const { orderId, arrival, lines } = next;
      const blocking = this.#shortagesOf(lines, arrival);
      if (blocking.length === 0) {
        this.#left.set(arrival, next);
        this.#reserve(orderId, lines);
      } else {
        blocked.push(next);
        for (const { productId } of blocking) {
          const isBehind = this.#thresholdOf(productId) <= arrival;
          limits.set(productId, isBehind ? 0 : this.#available(productId));
        }
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
        if (arrival >= threshold || arrival === this.#lapsed || this.#left.has(arrival)) continue;
        threshold = arrival;
      }
      this.#thresholds.set(productId, threshold);
    }
    this.#reservations.set(orderId, { status: "reserved", orderId, lines });
    this.#messages.push(emission(StockReserved, { orderId, lines: [...lines] }));
  }

  /**
   * Publishes the shortages that have changed of the orders that were examined, and of the first order with priority
   * that is short of each product whose stock or threshold has changed.
   */
  #publishShortages(moved: readonly string[], examined: readonly Waiting[]): void {
    const orders = new Map(examined.map((order) => [order.arrival, order]));
    for (const productId of [...moved, ...this.#changed().map((stock) => stock.productId)]) {
      const threshold = this.#thresholdOf(productId);
      if (threshold === Number.POSITIVE_INFINITY || orders.has(threshold)) continue;
      const first = this.#ledger.nextWaiting(productId, threshold - 1, NO_LIMITS);
      if (first !== undefined) orders.set(threshold, first);
    }
    for (const order of orders.values()) {
      const { orderId, arrival, lines } = order;
      const shortages = this.#shortagesOf(lines, arrival);
      if (Bun.deepEquals(shortages, order.shortages)) continue;
      const revision = order.revision + 1;
      this.#reservations.set(orderId, { ...order, shortages, revision });
      this.#messages.push(emission(StockShort, { orderId, shortages, revision }));
    }
  }

  /**
   * Of a product that an earlier order with priority is short of, all that is asked for: what is available is not for
   * this order.
   */
  #shortagesOf(lines: readonly Line[], arrival: number): Shortage[] {
    return lines.flatMap(({ productId, quantity }) => {
      const isBehind = this.#thresholdOf(productId) < arrival;
      const missing = isBehind ? quantity : quantity - this.#available(productId);
      return missing > 0 ? [{ productId, missing }] : [];
    });
  }

  /** The arrival of the first order with priority that is short of a product; infinite when none is. */
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
    const stock = this.#find(productId);
    if (stock === undefined) throw new DomainError(`there is no product ${productId}`);
    return stock;
  }

  /** The stock of a product, as this decision leaves it so far. */
  #find(productId: string): Stock | undefined {
    const known = this.#stock.get(productId);
    if (known !== undefined) return known;
    const found = this.#ledger.stock(productId);
    if (found === undefined) return undefined;
    const stock = { productId, onHand: found.onHand, reserved: found.reserved };
    this.#stored.set(productId, stock);
    this.#stock.set(productId, stock);
    return stock;
  }
}

const NO_LIMITS: ReadonlyMap<string, number> = new Map();

function earliest(candidates: ReadonlyMap<string, Waiting>): Waiting | undefined {
  let first: Waiting | undefined;
  for (const order of candidates.values()) {
    if (first === undefined || order.arrival < first.arrival) first = order;
  }
  return first;
}
