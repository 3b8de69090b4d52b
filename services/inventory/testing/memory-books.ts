import type { Line, Shortage } from "@distributed-messaging/contracts";
import type { Books, Lane, Reservation, Restocking, Stock, Waiting } from "../books.ts";

interface MemoryLane {
  readonly laneId: number;
  readonly products: readonly string[];
  watched: string;
  members: number[];
}

/** The books as plain maps: what the tables have to do, spelled out without any cleverness. */
export class MemoryBooks implements Books {
  readonly stocks = new Map<string, Stock>();
  readonly reservations = new Map<string, Reservation>();
  readonly #restockings = new Map<string, Restocking>();
  readonly #line = new Map<number, string>();
  readonly #lanes = new Map<string, MemoryLane>();
  #last = 0;

  constructor(onHand: Readonly<Record<string, number>> = {}) {
    for (const [productId, count] of Object.entries(onHand)) {
      this.stocks.set(productId, { productId, onHand: count, reserved: 0 });
    }
  }

  /** Those who wait, in order of arrival. */
  waiting(): Waiting[] {
    return [...this.#line.keys()].sort((a, b) => a - b).map((arrival) => this.waitingAt(arrival));
  }

  stock(productId: string): Stock | undefined {
    return this.stocks.get(productId);
  }

  reservation(orderId: string): Reservation | undefined {
    return this.reservations.get(orderId);
  }

  settle(reservation: Exclude<Reservation, Waiting>): void {
    this.reservations.set(reservation.orderId, reservation);
  }

  restocking(restockId: string): Restocking | undefined {
    return this.#restockings.get(restockId);
  }

  addRestocking(restocking: Restocking): void {
    this.#restockings.set(restocking.restockId, restocking);
  }

  join(order: Omit<Waiting, "status" | "arrival" | "revision">, blocker: string): void {
    this.#last += 1;
    const arrival = this.#last;
    this.reservations.set(order.orderId, { status: "waiting", ...order, arrival, revision: 1 });
    this.#line.set(arrival, order.orderId);
    const lane = this.#lanes.get(nameOf(order.lines)) ?? {
      laneId: arrival,
      products: productsOf(order.lines),
      watched: blocker,
      members: [],
    };
    lane.members.push(arrival);
    this.#lanes.set(nameOf(order.lines), lane);
  }

  leave({ arrival, lines }: Waiting): void {
    this.#line.delete(arrival);
    const lane = this.#lanes.get(nameOf(lines));
    if (lane === undefined) throw new Error(`${arrival} stands in no lane`);
    lane.members = lane.members.filter((member) => member !== arrival);
    if (lane.members.length === 0) this.#lanes.delete(nameOf(lines));
  }

  tell(order: Waiting, shortages: readonly Shortage[]): number {
    const revision = order.revision + 1;
    this.reservations.set(order.orderId, { ...order, shortages, revision });
    return revision;
  }

  waitingAt(arrival: number): Waiting {
    const order = this.reservations.get(this.#line.get(arrival) ?? "");
    if (order?.status !== "waiting") throw new Error(`nobody waits at ${arrival}`);
    return order;
  }

  firstAskingForMore(productId: string, than: number): number | undefined {
    return this.waiting().find(({ lines }) =>
      lines.some((line) => line.productId === productId && line.quantity > than),
    )?.arrival;
  }

  firstLaneWatching(productId: string, before = Number.POSITIVE_INFINITY): Lane | undefined {
    return [...this.#lanes.values()]
      .filter(({ watched }) => watched === productId)
      .map(({ laneId, products, members: [head = 0] }) => ({ laneId, products, head }))
      .filter(({ head }) => head < before)
      .sort((a, b) => a.head - b.head)[0];
  }

  watch({ laneId }: Lane, productId: string): void {
    for (const lane of this.#lanes.values()) if (lane.laneId === laneId) lane.watched = productId;
  }
}

function productsOf(lines: readonly Line[]): string[] {
  return lines.map(({ productId }) => productId).sort();
}

function nameOf(lines: readonly Line[]): string {
  return productsOf(lines).join();
}
