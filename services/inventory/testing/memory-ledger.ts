import type { Decision, Reservation, Restocking, Stock, StockLedger, Waiting } from "../domain.ts";

/** A stock ledger in memory that finds everything by looking at all orders: what the tables must do. */
export class MemoryLedger implements StockLedger {
  readonly stocks = new Map<string, Stock>();
  readonly reservations = new Map<string, Reservation>();
  readonly #restockings = new Map<string, Restocking>();
  #lastArrival = 0;

  /** @param onHand the stock of each product */
  constructor(onHand: Readonly<Record<string, number>> = {}) {
    for (const [productId, count] of Object.entries(onHand)) {
      this.stocks.set(productId, { productId, onHand: count, reserved: 0 });
    }
  }

  /** Stores what was decided. */
  save({ reservations, stock, restocking }: Decision): void {
    for (const reservation of reservations)
      this.reservations.set(reservation.orderId, this.#arrived(reservation));
    for (const changed of stock) this.stocks.set(changed.productId, changed);
    if (restocking !== undefined) this.#restockings.set(restocking.restockId, restocking);
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

  nextWaiting(productId: string, after: number, without: ReadonlySet<string>): Waiting | undefined {
    const asks = (order: Waiting) => order.lines.some((line) => without.has(line.productId));
    return this.#waitingFor(productId).find(({ order }) => order.arrival > after && !asks(order))?.order;
  }

  mostAsked(productId: string): number {
    return Math.max(0, ...this.#waitingFor(productId).map(({ quantity }) => quantity));
  }

  firstAskingForMore(productId: string, than: number, after: number): number | undefined {
    const first = this.#waitingFor(productId).find(
      ({ order, quantity }) => order.arrival > after && quantity > than,
    );
    return first?.order.arrival;
  }

  askingBetween(productId: string, above: number, upTo: number): number[] {
    return this.#waitingFor(productId)
      .filter(({ quantity }) => quantity > above && quantity <= upTo)
      .map(({ order }) => order.arrival);
  }

  /** The waiting orders that ask for a product, in order of arrival, and how much of it. */
  #waitingFor(productId: string): { order: Waiting; quantity: number }[] {
    return this.waiting().flatMap((order) =>
      order.lines.filter((line) => line.productId === productId).map(({ quantity }) => ({ order, quantity })),
    );
  }

  #arrived(reservation: Decision["reservations"][number]): Reservation {
    if (reservation.status !== "waiting") return reservation;
    const before = this.reservations.get(reservation.orderId);
    if (before?.status === "waiting") return { ...reservation, arrival: before.arrival };
    this.#lastArrival += 1;
    return { ...reservation, arrival: this.#lastArrival };
  }
}
