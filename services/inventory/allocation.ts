import { type Line, type Shortage, StockReserved, StockShort } from "@distributed-messaging/contracts";
import { DomainError, type Emission, emission } from "@distributed-messaging/messaging";
import { availableOf, type Books, type Lane, type Stock } from "./books.ts";

/**
 * Hands out stock in the course of one decision, first come, first served.
 *
 * An order that waits is *short* of a product when it asks for more of it than is available. An order may take a
 * product only if neither itself nor any order before it in line is short of it. So each product has a point in the
 * line, the first order that is short of it: it blocks that order and everybody behind it who wants the product, and
 * nobody before it. What is handed out can only move such a point forward in line, towards its beginning; only more
 * stock, or the leaving of that very order, moves it back and lets others go.
 */
export class Allocation {
  readonly messages: Emission[] = [];
  readonly #books: Books;
  readonly #before = new Map<string, Stock>();
  readonly #stock = new Map<string, Stock>();
  /** The points that were asked for and still hold; null: nobody is short of the product. */
  readonly #points = new Map<string, number | null>();
  /** Places in line whose orders were looked at: they may lack something else by now. */
  readonly #looked = new Set<number>();

  constructor(books: Books) {
    this.#books = books;
  }

  say(message: Emission): void {
    this.messages.push(message);
  }

  /** The stock of every product that is different now. */
  changed(): Stock[] {
    return [...this.#stock.values()].filter(
      (stock) => !Bun.deepEquals(stock, this.#before.get(stock.productId)),
    );
  }

  /** Whether there is such a product. */
  knows(productId: string): boolean {
    return this.#find(productId) !== undefined;
  }

  /** Adds to the stock of a product, or takes from it. */
  change(productId: string, by: { readonly onHand?: number; readonly reserved?: number }): void {
    const { onHand, reserved } = this.#stockOf(productId);
    this.#stock.set(productId, {
      productId,
      onHand: onHand + (by.onHand ?? 0),
      reserved: reserved + (by.reserved ?? 0),
    });
    this.#points.delete(productId);
  }

  /** Serves a new order, or puts it at the end of the line and tells it what it lacks. */
  take(orderId: string, lines: readonly Line[]): void {
    const shortages = lines.flatMap((line) => this.#lacks(Number.POSITIVE_INFINITY, line));
    const [blocker] = shortages;
    if (blocker === undefined) {
      this.#setAside(orderId, lines);
      this.#tell();
    } else {
      this.#books.join({ orderId, lines, shortages }, blocker.productId);
      this.say(emission(StockShort, { orderId, shortages, revision: 1 }));
    }
  }

  /**
   * Serves those who wait, in order of arrival, after these products have become more or an order that wanted them
   * has left the line. Looks only at lanes that one of them has kept waiting and keeps no longer.
   */
  serve(products: readonly string[]): void {
    const next = new Map<string, Lane | undefined>();
    const find = (productId: string) =>
      next.set(productId, this.#books.firstLaneWatching(productId, this.#pointOf(productId)));
    for (const productId of products) {
      this.#points.delete(productId);
      find(productId);
    }
    for (let lane = earliest(next.values()); lane !== undefined; lane = earliest(next.values())) {
      const { head } = lane;
      const blocker = lane.products.find((productId) => this.#isBlocked(head, productId));
      if (blocker === undefined) {
        const order = this.#books.waitingAt(head);
        this.#books.leave(order);
        this.#setAside(order.orderId, order.lines);
      } else {
        this.#books.watch(lane, blocker);
        this.#looked.add(head);
      }
      for (const productId of lane.products) if (next.has(productId)) find(productId);
    }
    this.#tell();
  }

  #setAside(orderId: string, lines: readonly Line[]): void {
    for (const { productId, quantity } of lines) this.change(productId, { reserved: quantity });
    this.#books.settle({ status: "reserved", orderId, lines });
    this.say(emission(StockReserved, { orderId, lines: [...lines] }));
  }

  /** Tells those who were looked at, and the first who is short of each product, if they lack something else now. */
  #tell(): void {
    for (const productId of this.#stock.keys()) {
      const point = this.#pointOf(productId);
      if (point !== undefined) this.#looked.add(point);
    }
    for (const arrival of this.#looked) {
      const order = this.#books.waitingAt(arrival);
      const shortages = order.lines.flatMap((line) => this.#lacks(arrival, line));
      if (Bun.deepEquals(shortages, order.shortages)) continue;
      const revision = this.#books.tell(order, shortages);
      this.say(emission(StockShort, { orderId: order.orderId, shortages, revision }));
    }
  }

  /** What an order that stands at a place in line lacks of a product: nothing, or one shortage. */
  #lacks(arrival: number, { productId, quantity }: Line): Shortage[] {
    // What there is, is for those before it who are short of it.
    const isBehind = (this.#pointOf(productId) ?? arrival) < arrival;
    const missing = isBehind ? quantity : quantity - availableOf(this.#stockOf(productId));
    return missing > 0 ? [{ productId, missing }] : [];
  }

  #isBlocked(arrival: number, productId: string): boolean {
    const point = this.#pointOf(productId);
    return point !== undefined && point <= arrival;
  }

  /** The first in line that is short of a product. */
  #pointOf(productId: string): number | undefined {
    let point = this.#points.get(productId);
    if (point === undefined) {
      point = this.#books.firstAskingForMore(productId, availableOf(this.#stockOf(productId))) ?? null;
      this.#points.set(productId, point);
    }
    return point ?? undefined;
  }

  #stockOf(productId: string): Stock {
    const stock = this.#find(productId);
    if (stock === undefined) throw new DomainError(`there is no product ${productId}`);
    return stock;
  }

  #find(productId: string): Stock | undefined {
    const known = this.#stock.get(productId);
    if (known !== undefined) return known;
    const found = this.#books.stock(productId);
    if (found === undefined) return undefined;
    const stock = { productId, onHand: found.onHand, reserved: found.reserved };
    this.#before.set(productId, stock);
    this.#stock.set(productId, stock);
    return stock;
  }
}

function earliest(lanes: Iterable<Lane | undefined>): Lane | undefined {
  let first: Lane | undefined;
  for (const lane of lanes) if (lane !== undefined && lane.head < (first?.head ?? Infinity)) first = lane;
  return first;
}
