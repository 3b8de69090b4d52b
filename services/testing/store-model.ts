import {
  type CancelOrder,
  type DataOf,
  type Emission,
  OrderCancelled,
  OrderPlaced,
  type PlaceOrder,
  type Restock,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { decide as decideStock, type Input as StockInput } from "../inventory/domain.ts";
import { MemoryBooks } from "../inventory/testing/memory-books.ts";
import { decide as decideOrder, type Order, type Input as OrderInput } from "../order/domain.ts";

/** What can happen next. A topic's messages of one key come in the order in which they were emitted. */
export type Move =
  | "order takes a command"
  | "order hears of stock"
  | "order's deadline comes"
  | "inventory hears of an order"
  | "inventory takes a command"
  | "time passes the deadline";

export const BACKORDER_TTL_MS = 1_000;

/** A message on its way, and whose it is. */
interface Sent {
  readonly key: string;
  readonly emission: Emission;
}

/**
 * The order service and the inventory, their domains and nothing else: between them are four topics, whose messages
 * may take any time. Whoever holds it decides what happens next.
 */
export class StoreModel {
  readonly books: MemoryBooks;
  readonly orders = new Map<string, Order>();
  /** Everything that was said, in the order in which it was. */
  readonly log: Emission[] = [];
  now = 0;
  readonly #orderCommands: OrderInput[] = [];
  readonly #restocks: StockInput[] = [];
  readonly #orderEvents: Sent[] = [];
  readonly #stockEvents: Sent[] = [];

  constructor(onHand: Readonly<Record<string, number>>) {
    this.books = new MemoryBooks(onHand);
  }

  place(data: DataOf<typeof PlaceOrder>): void {
    this.#orderCommands.push({ kind: "place", data });
  }

  cancel(data: DataOf<typeof CancelOrder>): void {
    this.#orderCommands.push({ kind: "cancel", data });
  }

  restock(data: DataOf<typeof Restock>): void {
    this.#restocks.push({ kind: "restock", ...data });
  }

  /** What may happen next; empty when nothing is on its way and nobody waits for a deadline. */
  moves(): Move[] {
    const waiting = [...this.orders.values()].filter((order) => order.status === "backordered");
    const isDue = waiting.some(({ expiresAt }) => expiresAt <= this.now);
    const moves: (readonly [boolean, Move])[] = [
      [this.#orderCommands.length > 0, "order takes a command"],
      [this.#stockEvents.length > 0, "order hears of stock"],
      [isDue, "order's deadline comes"],
      [this.#orderEvents.length > 0, "inventory hears of an order"],
      [this.#restocks.length > 0, "inventory takes a command"],
    ];
    return moves.filter(([can]) => can).map(([, move]) => move);
  }

  /** Whether an order waits whose deadline lies ahead. */
  get canExpire(): boolean {
    return [...this.orders.values()].some(
      (order) => order.status === "backordered" && order.expiresAt > this.now,
    );
  }

  /** @param choose picks one of so many messages that may come next: one for each key */
  make(move: Move, choose: (count: number) => number = () => 0): void {
    switch (move) {
      case "order takes a command":
        this.#decideOrder(takeOne(this.#orderCommands, ({ data }) => data.orderId, choose));
        return;
      case "order hears of stock":
        this.#decideOrder(orderInputOf(takeOne(this.#stockEvents, ({ key }) => key, choose).emission));
        return;
      case "order's deadline comes": {
        const due = [...this.orders.values()].filter(
          (order) => order.status === "backordered" && order.expiresAt <= this.now,
        );
        const { orderId } = takeOne(due, (order) => order.orderId, choose);
        this.#decideOrder({ kind: "expire", data: { orderId } });
        return;
      }
      case "inventory hears of an order":
        this.#decideStock(stockInputOf(takeOne(this.#orderEvents, ({ key }) => key, choose).emission));
        return;
      case "inventory takes a command":
        this.#decideStock(takeOne(this.#restocks, (input) => keyOf(input), choose));
        return;
      case "time passes the deadline":
        this.now += BACKORDER_TTL_MS;
        return;
      default:
        move satisfies never;
    }
  }

  #decideOrder(input: OrderInput): void {
    const { orderId } = input.data;
    const moment = { now: this.now, backorderTtlMs: BACKORDER_TTL_MS };
    const { state, messages } = decideOrder(this.orders.get(orderId), input, moment);
    this.orders.set(orderId, state);
    this.log.push(...messages);
    for (const emission of messages) {
      const isHeard = emission.definition === OrderPlaced || emission.definition === OrderCancelled;
      if (isHeard) this.#orderEvents.push({ key: orderId, emission });
    }
  }

  #decideStock(input: StockInput): void {
    const { messages, changed } = decideStock(input, this.books);
    for (const stock of changed) this.books.stocks.set(stock.productId, stock);
    this.log.push(...messages);
    for (const emission of messages) {
      this.#stockEvents.push({ key: (emission.data as { orderId: string }).orderId, emission });
    }
  }
}

/** Takes the first message of one of the keys out of a topic. */
function takeOne<T>(topic: T[], keyOfOne: (message: T) => string, choose: (count: number) => number): T {
  const firsts = topic.filter(
    (message, index) => topic.findIndex((other) => keyOfOne(other) === keyOfOne(message)) === index,
  );
  const taken = firsts[choose(firsts.length)];
  if (taken === undefined) throw new Error("nothing is on its way");
  topic.splice(topic.indexOf(taken), 1);
  return taken;
}

function keyOf(input: StockInput): string {
  return input.kind === "restock" ? input.productId : input.orderId;
}

/** As the order service's handlers have it. */
function orderInputOf({ definition, data }: Emission): OrderInput {
  switch (definition) {
    case StockReserved:
      return { kind: "reserved", data: data as DataOf<typeof StockReserved> };
    case StockShort:
      return { kind: "short", data: data as DataOf<typeof StockShort> };
    case StockRejected:
      return { kind: "stock-rejected", data: data as DataOf<typeof StockRejected> };
    case StockReleased:
      return { kind: "released", data: data as DataOf<typeof StockReleased> };
    default:
      throw new Error(`the order service does not take ${definition.type}`);
  }
}

/** As the inventory's handlers have it. */
function stockInputOf({ definition, data }: Emission): StockInput {
  const { orderId, items = [] } = data as Partial<DataOf<typeof OrderPlaced>> & { orderId: string };
  if (definition === OrderCancelled) return { kind: "cancel", orderId };
  const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
  return { kind: "place", orderId, lines };
}
