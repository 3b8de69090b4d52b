import {
  type CancelOrder,
  OrderCancelled,
  OrderPlaced,
  type PlaceOrder,
  type Restock,
} from "@distributed-messaging/contracts";
import { decide as decideStock, type Input as StockInput } from "@distributed-messaging/inventory/domain";
import { MemoryLedger } from "@distributed-messaging/inventory/testing/memory-ledger";
import type { DataOf, Emission } from "@distributed-messaging/messaging";
import {
  decide as decideOrder,
  type Order,
  type Input as OrderInput,
} from "@distributed-messaging/order/domain";
import { orderInputOf, stockInputOf } from "./inputs.ts";

/** Made of a message, or of a deadline that has come. */
const messageMoves = [
  "order takes a command",
  "order hears of stock",
  "order's deadline comes",
  "inventory hears of an order",
  "inventory takes a command",
] as const;

/** What can happen next. A topic's messages of one key come in the order in which they were emitted. */
export type Move = (typeof messageMoves)[number] | "time passes the deadline";

export const BACKORDER_TTL_MS = 1_000;

/** What is on its way, and under which key. */
interface Sent<Input> {
  readonly key: string;
  readonly input: Input;
}

/**
 * The order service and the inventory, their domains and nothing else: between them are four topics, whose messages
 * may take any time. Whoever holds it decides what happens next.
 */
export class StoreModel {
  readonly ledger: MemoryLedger;
  readonly orders = new Map<string, Order>();
  /** Everything that was said, in the order in which it was. */
  readonly log: Emission[] = [];
  /** Everything that the inventory was told, in the order in which it was. */
  readonly heard: StockInput[] = [];
  now = 0;
  readonly #orderCommands: Sent<OrderInput>[] = [];
  readonly #restocks: Sent<StockInput>[] = [];
  readonly #orderEvents: Sent<StockInput>[] = [];
  readonly #stockEvents: Sent<OrderInput>[] = [];

  constructor(onHand: Readonly<Record<string, number>>) {
    this.ledger = new MemoryLedger(onHand);
  }

  place(data: DataOf<typeof PlaceOrder>): void {
    this.#orderCommands.push({ key: data.orderId, input: { kind: "place", data } });
  }

  cancel(data: DataOf<typeof CancelOrder>): void {
    this.#orderCommands.push({ key: data.orderId, input: { kind: "cancel", data } });
  }

  restock(data: DataOf<typeof Restock>): void {
    this.#restocks.push({ key: data.productId, input: { kind: "restock", ...data } });
  }

  /** What may happen next; empty when nothing is on its way and nobody waits for a deadline. */
  moves(): Move[] {
    return messageMoves.filter((move) => this.choices(move) > 0);
  }

  /** How many messages a move may take: the first of each key, because keys may travel in different partitions. */
  choices(move: Move): number {
    return new Set(this.#onItsWay(move).map(({ key }) => key)).size;
  }

  /** Whether an order waits whose deadline lies ahead. */
  get canExpire(): boolean {
    return [...this.orders.values()].some(
      (order) => order.status === "backordered" && order.expiresAt > this.now,
    );
  }

  /** @param choose picks one of so many `choices` */
  make(move: Move, choose: (count: number) => number = () => 0): void {
    switch (move) {
      case "order takes a command":
        this.#decideOrder(takeOne(this.#orderCommands, choose));
        return;
      case "order hears of stock":
        this.#decideOrder(takeOne(this.#stockEvents, choose));
        return;
      case "order's deadline comes":
        this.#decideOrder(takeOne(this.#due(), choose));
        return;
      case "inventory hears of an order":
        this.#decideStock(takeOne(this.#orderEvents, choose));
        return;
      case "inventory takes a command":
        this.#decideStock(takeOne(this.#restocks, choose));
        return;
      case "time passes the deadline":
        this.now += BACKORDER_TTL_MS;
        return;
      default:
        move satisfies never;
    }
  }

  #onItsWay(move: Move): readonly Sent<OrderInput | StockInput>[] {
    switch (move) {
      case "order takes a command":
        return this.#orderCommands;
      case "order hears of stock":
        return this.#stockEvents;
      case "order's deadline comes":
        return this.#due();
      case "inventory hears of an order":
        return this.#orderEvents;
      case "inventory takes a command":
        return this.#restocks;
      case "time passes the deadline":
        return [];
      default:
        return move satisfies never;
    }
  }

  /** The deadlines that have come. */
  #due(): Sent<OrderInput>[] {
    return [...this.orders.values()]
      .filter((order) => order.status === "backordered" && order.expiresAt <= this.now)
      .map(({ orderId }) => ({ key: orderId, input: { kind: "expire", data: { orderId } } }));
  }

  #decideOrder(input: OrderInput): void {
    const { orderId } = input.data;
    const moment = { now: this.now, backorderTtlMs: BACKORDER_TTL_MS };
    const { state, messages } = decideOrder(this.orders.get(orderId), input, moment);
    this.orders.set(orderId, state);
    this.log.push(...messages);
    for (const emission of messages) {
      const isHeard = emission.definition === OrderPlaced || emission.definition === OrderCancelled;
      if (isHeard) this.#orderEvents.push({ key: orderId, input: stockInputOf(emission) });
    }
  }

  #decideStock(input: StockInput): void {
    this.heard.push(input);
    const decision = decideStock(input, this.ledger);
    this.ledger.save(decision);
    this.log.push(...decision.messages);
    for (const emission of decision.messages) {
      const next = orderInputOf(emission);
      this.#stockEvents.push({ key: next.data.orderId, input: next });
    }
  }
}

/** Takes the first message of one of the keys out of a topic. */
function takeOne<Input>(topic: Sent<Input>[], choose: (count: number) => number): Input {
  const firsts = topic.filter(
    (message, index) => topic.findIndex(({ key }) => key === message.key) === index,
  );
  const taken = firsts[choose(firsts.length)];
  if (taken === undefined) throw new Error("nothing is on its way");
  topic.splice(topic.indexOf(taken), 1);
  return taken.input;
}
