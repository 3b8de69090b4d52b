import type { Line } from "@distributed-messaging/contracts";
import type { Input } from "../domain.ts";

interface Order {
  readonly orderId: string;
  readonly lines: readonly Line[];
}

/**
 * The stock rules in their simplest form, without regard to cost: after every input, all waiting orders are tried in
 * order of arrival, each against all that arrived before it.
 */
export class Reference {
  readonly onHand: Map<string, number>;
  readonly reserved = new Map<string, Order>();
  readonly #seen = new Set<string>();
  readonly #restocks = new Set<string>();
  #waiting: Order[] = [];

  constructor(onHand: Readonly<Record<string, number>>) {
    this.onHand = new Map(Object.entries(onHand));
  }

  get waiting(): readonly Order[] {
    return this.#waiting;
  }

  /** @returns the orders that it serves, in order */
  apply(input: Input): string[] {
    switch (input.kind) {
      case "place":
        if (this.#seen.has(input.orderId)) return [];
        this.#seen.add(input.orderId);
        if (input.lines.every(({ productId }) => this.onHand.has(productId))) this.#waiting.push(input);
        break;
      case "cancel":
        this.#seen.add(input.orderId);
        this.reserved.delete(input.orderId);
        this.#waiting = this.#waiting.filter(({ orderId }) => orderId !== input.orderId);
        break;
      case "restock":
        if (this.#restocks.has(input.restockId)) return [];
        this.#restocks.add(input.restockId);
        this.onHand.set(input.productId, (this.onHand.get(input.productId) ?? 0) + input.quantity);
        break;
    }
    return this.#serve();
  }

  available(productId: string): number {
    let held = 0;
    for (const { lines } of this.reserved.values()) held += quantityOf(lines, productId);
    return (this.onHand.get(productId) ?? 0) - held;
  }

  /** Whether neither the order nor an earlier waiting one is short of any of its products. */
  mayTake(order: Order): boolean {
    const before = this.#waiting.slice(0, this.#waiting.indexOf(order));
    return order.lines.every(({ productId }) =>
      [...before, order].every(({ lines }) => quantityOf(lines, productId) <= this.available(productId)),
    );
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
