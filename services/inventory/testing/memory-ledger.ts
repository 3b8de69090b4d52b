import type {
  ChangedReservation,
  Decision,
  EndingPriority,
  Reservation,
  Restocking,
  Stock,
  StockLedger,
  Waiting,
} from "../domain.ts";

/** A stock ledger in memory that finds everything by looking at all orders: what the tables must do. */
export class MemoryLedger implements StockLedger {
  readonly stocks = new Map<string, Stock>();
  readonly reservations = new Map<string, Reservation>();
  readonly #restockings = new Map<string, Restocking>();
  readonly #windows = new Map<string, number>();
  #lastArrival = 0;

  /** @param onHand the stock of each product */
  constructor(onHand: Readonly<Record<string, number>> = {}) {
    for (const [productId, count] of Object.entries(onHand)) {
      this.stocks.set(productId, { productId, onHand: count, reserved: 0 });
    }
  }

  /** Stores what was decided. */
  save({ reservations, stock, restocking, window }: Decision): void {
    for (const reservation of reservations)
      this.reservations.set(reservation.orderId, this.#arrived(reservation));
    for (const changed of stock) this.stocks.set(changed.productId, changed);
    if (restocking !== undefined) this.#restockings.set(restocking.restockId, restocking);
    if (window !== undefined) this.#windows.set(window.customerId, window.openedAt);
  }

  /** The waiting orders, in order of arrival. */
  waiting(): Waiting[] {
    return [...this.reservations.values()]
      .filter((reservation) => reservation.status === "waiting")
      .sort((one, other) => one.arrival - other.arrival);
  }

  stock(productId: string): Stock | undefined {
    return this.stocks.get(productId);
  }

  reservation(orderId: string): Reservation | undefined {
    return this.reservations.get(orderId);
  }

  restocking(restockId: string): Restocking | undefined {
    return this.#restockings.get(restockId);
  }

  windowOf(customerId: string): number | undefined {
    return this.#windows.get(customerId);
  }

  firstPriority(): EndingPriority | undefined {
    return this.waiting()
      .flatMap(({ orderId, priorityUntil }) =>
        priorityUntil === undefined ? [] : { orderId, priorityUntil },
      )
      .sort((one, other) => one.priorityUntil - other.priorityUntil)[0];
  }

  waitingOf(customerId: string): number {
    return this.waiting().filter((order) => order.customerId === customerId).length;
  }

  nextWaiting(productId: string, after: number, limits: ReadonlyMap<string, number>): Waiting | undefined {
    const exceeds = (order: Waiting) =>
      order.lines.some((line) => line.quantity > (limits.get(line.productId) ?? Number.POSITIVE_INFINITY));
    return this.#waitingFor(productId).find(({ order }) => order.arrival > after && !exceeds(order))?.order;
  }

  mostAsked(productId: string): number {
    return Math.max(0, ...this.#withPriority(productId).map(({ quantity }) => quantity));
  }

  firstAskingForMore(productId: string, than: number, after: number): number | undefined {
    const first = this.#withPriority(productId).find(
      ({ order, quantity }) => order.arrival > after && quantity > than,
    );
    return first?.order.arrival;
  }

  askingBetween(productId: string, above: number, upTo: number): number[] {
    return this.#withPriority(productId)
      .filter(({ quantity }) => quantity > above && quantity <= upTo)
      .map(({ order }) => order.arrival);
  }

  #withPriority(productId: string): { order: Waiting; quantity: number }[] {
    return this.#waitingFor(productId).filter(({ order }) => order.priorityUntil !== undefined);
  }

  /** The waiting orders that ask for a product, in order of arrival, and how much of it. */
  #waitingFor(productId: string): { order: Waiting; quantity: number }[] {
    return this.waiting().flatMap((order) =>
      order.lines.filter((line) => line.productId === productId).map(({ quantity }) => ({ order, quantity })),
    );
  }

  #arrived(reservation: ChangedReservation): Reservation {
    if (reservation.status !== "waiting" || "arrival" in reservation) return reservation;
    this.#lastArrival += 1;
    return { ...reservation, arrival: this.#lastArrival };
  }
}
