import {
  CancelOrder,
  OrderCancelled,
  OrderPlaced,
  PlaceOrder,
  Restock,
  StockRejected,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import {
  decisionsOn,
  type Moment,
  type QueuePolicy,
  type Input as StockInput,
} from "@distributed-messaging/inventory/domain";
import { MemoryLedger } from "@distributed-messaging/inventory/testing/memory-ledger";
import type { DataOf, Emission, MessageDefinition } from "@distributed-messaging/messaging";
import {
  decide as decideOrder,
  type Order,
  type Input as OrderInput,
} from "@distributed-messaging/order/domain";

export const BACKORDER_TTL_MS = 1_000;
/** The clock moves past the deadline of every order that waits. */
export const TIME_PASSES = "time passes";
const TIMER = "timer";
const PRIORITY_TIMER = "priority-timer";
/** No priority ends, and nothing is limited. */
const UNLIMITED: QueuePolicy = {
  priorityMs: 1_000 * BACKORDER_TTL_MS,
  priorityQuantity: 1_000,
  maxWaiting: 1_000,
};

interface Message {
  readonly topic: string;
  readonly key: string;
  handle(): void;
}

/**
 * The domains of the order service and the inventory, with topics between them. Only messages of one topic and key keep
 * their order: the caller chooses which message is handled next.
 */
export class StoreModel {
  readonly ledger: MemoryLedger;
  readonly orders = new Map<string, Order>();
  /** Every message that was emitted, in order. */
  readonly emitted: Emission[] = [];
  /** Every input that the inventory has handled, in order, and when. */
  readonly stockInputs: { readonly input: StockInput | undefined; readonly moment: Moment }[] = [];
  now = 0;
  readonly #messages: Message[] = [];
  readonly #policy: QueuePolicy;

  constructor(onHand: Readonly<Record<string, number>>, policy = UNLIMITED) {
    this.ledger = new MemoryLedger(onHand);
    this.#policy = policy;
  }

  /** Sends a message to the service that handles it. */
  send<Definition extends MessageDefinition>(definition: Definition, data: DataOf<Definition>): void {
    const handle = this.#handlerOf({ definition, data });
    if (handle === undefined) return;
    this.#messages.push({ topic: definition.topic.name, key: definition.keyOf(data), handle });
  }

  /**
   * The transitions that are possible: to handle the first message of a topic and key, or a timer that is due. Each is
   * the name of the topic, or `timer`, and the key, or `priority-timer`.
   */
  transitions(): string[] {
    const due = [...this.orders.values()]
      .filter((order) => order.status === "backordered" && order.expiresAt <= this.now)
      .map(({ orderId }) => `${TIMER} ${orderId}`);
    const priority = this.ledger.firstPriority()?.priorityUntil ?? Number.POSITIVE_INFINITY;
    if (priority <= this.now) due.push(PRIORITY_TIMER);
    return [...new Set([...this.#messages.map(({ topic, key }) => `${topic} ${key}`), ...due])];
  }

  /** Whether an order waits whose deadline has not passed. */
  get canExpire(): boolean {
    return [...this.orders.values()].some(
      (order) => order.status === "backordered" && order.expiresAt > this.now,
    );
  }

  /** @param transition one of `transitions()`, or `TIME_PASSES` */
  perform(transition: string): void {
    const [topic, key = ""] = transition.split(" ");
    if (transition === TIME_PASSES) this.now += BACKORDER_TTL_MS;
    else if (transition === PRIORITY_TIMER) this.#decideStock(undefined);
    else if (topic === TIMER) this.#decideOrder({ kind: "expire", data: { orderId: key } });
    else {
      const index = this.#messages.findIndex((message) => message.topic === topic && message.key === key);
      const [message] = this.#messages.splice(index, 1);
      message?.handle();
    }
  }

  /** As the services' handlers do. Undefined for a message that neither of the two services handles. */
  #handlerOf({ definition, data }: Emission): (() => void) | undefined {
    switch (definition) {
      case PlaceOrder:
        return () => this.#decideOrder({ kind: "place", data: data as DataOf<typeof PlaceOrder> });
      case CancelOrder:
        return () => this.#decideOrder({ kind: "cancel", data: data as DataOf<typeof CancelOrder> });
      case StockReserved:
        return () => this.#decideOrder({ kind: "reserved", data: data as DataOf<typeof StockReserved> });
      case StockShort:
        return () => this.#decideOrder({ kind: "short", data: data as DataOf<typeof StockShort> });
      case StockRejected:
        return () =>
          this.#decideOrder({ kind: "stock-rejected", data: data as DataOf<typeof StockRejected> });
      case StockReleased:
        return () => this.#decideOrder({ kind: "released", data: data as DataOf<typeof StockReleased> });
      case OrderPlaced: {
        const { orderId, customerId, items } = data as DataOf<typeof OrderPlaced>;
        const lines = items.map(({ productId, quantity }) => ({ productId, quantity }));
        return () => this.#decideStock({ kind: "place", orderId, customerId, lines });
      }
      case OrderCancelled: {
        const { orderId } = data as DataOf<typeof OrderCancelled>;
        return () => this.#decideStock({ kind: "cancel", orderId });
      }
      case Restock:
        return () => this.#decideStock({ kind: "restock", ...(data as DataOf<typeof Restock>) });
      default:
        return undefined;
    }
  }

  #decideOrder(input: OrderInput): void {
    const { orderId } = input.data;
    const moment = { now: this.now, backorderTtlMs: BACKORDER_TTL_MS };
    const { state, messages } = decideOrder(this.orders.get(orderId), input, moment);
    this.orders.set(orderId, state);
    this.#emit(messages);
  }

  #decideStock(input: StockInput | undefined): void {
    const moment = { now: this.now, policy: this.#policy };
    this.stockInputs.push({ input, moment });
    for (const decision of decisionsOn(input, this.ledger, moment)) {
      this.ledger.save(decision);
      this.#emit(decision.messages);
    }
  }

  #emit(messages: readonly Emission[]): void {
    this.emitted.push(...messages);
    for (const { definition, data } of messages) this.send(definition, data);
  }
}
