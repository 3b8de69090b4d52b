import { type Static, Type } from "@sinclair/typebox";
import { percentile } from "./measure.ts";

/** Of times in milliseconds. */
const Percentiles = Type.Object({ p50: Type.Number(), p99: Type.Number() });
type Percentiles = Static<typeof Percentiles>;

/** What became of the measured orders, and how long it took from when each was due. */
export const Outcome = Type.Object({
  orders: Type.Integer(),
  /** Until the answer 202. */
  accepted: Percentiles,
  /** Until the time in the event that confirms the order. */
  confirmed: Percentiles,
  /** Until the customer has the notification of that. */
  notified: Percentiles,
  /** How much later than due the requests were sent. */
  late: Percentiles,
  /** A line for each way in which orders were not placed once, confirmed once and notified once; none if all were. */
  faults: Type.Array(Type.String()),
});
export type Outcome = Static<typeof Outcome>;

interface PlacedOrder {
  readonly dueMs: number;
  readonly isMeasured: boolean;
  readonly sentMs: number;
  hasEnded: boolean;
  acceptedMs?: number;
  confirmedMs?: number;
  notifiedMs?: number;
}

/**
 * Keeps account of the orders of a load generator. Every time is counted from when the order was due, not from when it
 * was sent, so that a store, or a generator, that stands still is not measured less often for it (coordinated omission).
 * All times are milliseconds of one clock.
 */
export class Orders {
  readonly #orders = new Map<string, PlacedOrder>();
  readonly #faults = new Map<string, number>();
  #ended = 0;

  /** @param isMeasured false while the store warms up: such an order has to be confirmed, too, but its times do not count */
  send(orderId: string, dueMs: number, sentMs: number, isMeasured: boolean): void {
    this.#orders.set(orderId, { dueMs, sentMs, isMeasured, hasEnded: false });
  }

  /**
   * The answer to the request: 202, or another one, with which the order ends.
   *
   * @returns whether the order has ended
   */
  answer(orderId: string, status: number, atMs: number): boolean {
    const order = this.#find(orderId);
    if (order === undefined) return false;
    if (status !== 202) {
      this.#fault(`answered with ${status} instead of 202`);
      return this.#end(order);
    }
    order.acceptedMs = atMs - order.dueMs;
    return order.notifiedMs !== undefined && this.#end(order);
  }

  /** There was no answer. The order may have been placed, and ends with this. @returns whether it had not ended before */
  fail(orderId: string): boolean {
    const order = this.#find(orderId);
    if (order === undefined) return false;
    this.#fault("not answered");
    return this.#end(order);
  }

  /**
   * A notification has arrived.
   *
   * @param type `order.received` says nothing of how the order ends
   * @param decidedMs the time in the event of which it notifies
   * @returns whether the order has ended: it may have been confirmed, and the answer is still on its way
   */
  notify(orderId: string, type: string, decidedMs: number, atMs: number): boolean {
    const order = this.#find(orderId);
    if (order === undefined || type === "order.received") return false;
    if (type !== "order.confirmed") {
      this.#fault(`notified with ${type} instead of order.confirmed`);
      return false;
    }
    if (order.notifiedMs !== undefined) {
      this.#fault("notified twice");
      return false;
    }
    order.confirmedMs = decidedMs - order.dueMs;
    order.notifiedMs = atMs - order.dueMs;
    return order.acceptedMs !== undefined && this.#end(order);
  }

  /** Orders that have ended: accepted, confirmed and notified, or not accepted. */
  get ended(): number {
    return this.#ended;
  }

  get sent(): number {
    return this.#orders.size;
  }

  #end(order: PlacedOrder): boolean {
    const isNew = !order.hasEnded;
    if (isNew) this.#ended += 1;
    order.hasEnded = true;
    return isNew;
  }

  outcome(): Outcome {
    const orders = [...this.#orders.values()];
    const faults = new Map(this.#faults);
    const unconfirmed = orders.filter(({ notifiedMs }) => notifiedMs === undefined).length;
    if (unconfirmed > 0) faults.set("not confirmed", unconfirmed);
    const unaccepted = orders.filter(
      (order) => order.notifiedMs !== undefined && order.acceptedMs === undefined,
    );
    if (unaccepted.length > 0) faults.set("confirmed but not answered with 202", unaccepted.length);
    const measured = orders.filter(({ isMeasured }) => isMeasured);
    const of = (timeOf: (order: PlacedOrder) => number | undefined) =>
      percentiles(measured.map(timeOf).filter((ms) => ms !== undefined));
    return {
      orders: measured.length,
      accepted: of(({ acceptedMs }) => acceptedMs),
      confirmed: of(({ confirmedMs }) => confirmedMs),
      notified: of(({ notifiedMs }) => notifiedMs),
      late: of(({ sentMs, dueMs }) => sentMs - dueMs),
      faults: [...faults].map(
        ([what, count]) =>
          `${count.toLocaleString("en")} of ${orders.length.toLocaleString("en")} orders: ${what}`,
      ),
    };
  }

  #find(orderId: string): PlacedOrder | undefined {
    const order = this.#orders.get(orderId);
    if (order === undefined) this.#fault("answered or notified without having been sent");
    return order;
  }

  #fault(what: string): void {
    this.#faults.set(what, (this.#faults.get(what) ?? 0) + 1);
  }
}

function percentiles(values: readonly number[]): Percentiles {
  if (values.length === 0) return { p50: 0, p99: 0 };
  return { p50: percentile(values, 0.5), p99: percentile(values, 0.99) };
}
