import type { Line } from "@distributed-messaging/contracts";
import { type Input, type Moment, PRIORITY_PERIOD_MS } from "../domain.ts";

interface Order {
  readonly orderId: string;
  readonly lines: readonly Line[];
}

interface Waiting extends Order {
  readonly customerId: string;
  /** Until when it has priority; undefined when it has none any more, or never had. */
  priorityUntil: number | undefined;
}

/**
 * The stock rules in their simplest form, without regard to cost: after every input, and whenever a priority ends, all
 * waiting orders are tried in order of arrival, each against all that arrived before it.
 */
export class Reference {
  readonly onHand: Map<string, number>;
  readonly reserved = new Map<string, Order>();
  readonly #seen = new Set<string>();
  readonly #restocks = new Set<string>();
  /** When each customer's orders last began to have priority. */
  readonly #windows = new Map<string, number>();
  #waiting: Waiting[] = [];

  constructor(onHand: Readonly<Record<string, number>>) {
    this.onHand = new Map(Object.entries(onHand));
  }

  get waiting(): readonly Waiting[] {
    return this.#waiting;
  }

  /**
   * @param input undefined when only time has passed
   * @returns the orders that are served by then, in order
   */
  apply(input: Input | undefined, moment: Moment): string[] {
    return [...this.#passTime(moment.now), ...(input === undefined ? [] : this.#handle(input, moment))];
  }

  available(productId: string): number {
    let held = 0;
    for (const { lines } of this.reserved.values()) held += quantityOf(lines, productId);
    return (this.onHand.get(productId) ?? 0) - held;
  }

  isShort({ lines }: Order, productId: string): boolean {
    return quantityOf(lines, productId) > this.available(productId);
  }

  /** Whether neither the order nor an earlier waiting one with priority is short of any of its products. */
  mayTake(order: Waiting): boolean {
    const before = this.#waiting.slice(0, this.#waiting.indexOf(order));
    const claiming = before.filter(({ priorityUntil }) => priorityUntil !== undefined);
    return order.lines.every(({ productId }) =>
      [...claiming, order].every((each) => !this.isShort(each, productId)),
    );
  }

  /** One priority ends after the other. */
  #passTime(now: number): string[] {
    const endOf = ({ priorityUntil = Number.POSITIVE_INFINITY }: Waiting) => priorityUntil;
    const ending = this.#waiting.filter((order) => endOf(order) <= now);
    return ending
      .sort((one, other) => endOf(one) - endOf(other))
      .flatMap((order) => {
        order.priorityUntil = undefined;
        return this.#serve();
      });
  }

  #handle(input: Input, moment: Moment): string[] {
    switch (input.kind) {
      case "place":
        if (this.#seen.has(input.orderId)) return [];
        this.#seen.add(input.orderId);
        if (!input.lines.every(({ productId }) => this.onHand.has(productId))) return [];
        return this.#place(input, moment);
      case "cancel":
        this.#seen.add(input.orderId);
        this.reserved.delete(input.orderId);
        this.#waiting = this.#waiting.filter(({ orderId }) => orderId !== input.orderId);
        return this.#serve();
      case "restock":
        if (this.#restocks.has(input.restockId)) return [];
        this.#restocks.add(input.restockId);
        this.onHand.set(input.productId, (this.onHand.get(input.productId) ?? 0) + input.quantity);
        return this.#serve();
      default:
        return input satisfies never;
    }
  }

  #place(order: Extract<Input, { kind: "place" }>, { now, policy }: Moment): string[] {
    const { orderId, customerId, lines } = order;
    const waiting = this.#waiting.filter((each) => each.customerId === customerId).length;
    this.#waiting.push({ orderId, customerId, lines, priorityUntil: undefined });
    const served = this.#serve();
    if (served.length > 0) return served;
    this.#waiting.pop();
    if (waiting >= policy.maxWaiting) return [];
    let priorityUntil: number | undefined;
    if (lines.reduce((sum, { quantity }) => sum + quantity, 0) <= policy.priorityQuantity) {
      const latest = this.#windows.get(customerId) ?? Number.NEGATIVE_INFINITY;
      const openedAt = latest <= now && now - latest < PRIORITY_PERIOD_MS ? latest : now;
      if (openedAt + policy.priorityMs > now) {
        this.#windows.set(customerId, openedAt);
        priorityUntil = openedAt + policy.priorityMs;
      }
    }
    this.#waiting.push({ orderId, customerId, lines, priorityUntil });
    return [];
  }

  #serve(): string[] {
    const served: string[] = [];
    for (const order of [...this.#waiting]) {
      if (!this.mayTake(order)) continue;
      this.#waiting = this.#waiting.filter((other) => other !== order);
      this.reserved.set(order.orderId, order);
      served.push(order.orderId);
    }
    return served;
  }
}

function quantityOf(lines: readonly Line[], productId: string): number {
  return lines.find((line) => line.productId === productId)?.quantity ?? 0;
}
