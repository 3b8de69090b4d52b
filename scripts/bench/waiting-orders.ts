import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allMessages, OrderCancelled, OrderPlaced, Restock } from "@distributed-messaging/contracts";
import { changeProduct, inventoryHandlers, inventoryTimers } from "@distributed-messaging/inventory/handlers";
import { migrations } from "@distributed-messaging/inventory/migrations/index";
import { InventoryStore } from "@distributed-messaging/inventory/store";
import {
  type DataOf,
  deadLetterTopic,
  type MessageDefinition,
  Messaging,
  message,
  migrate,
  openDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { CommandFailed } from "../command/command.ts";
import type { Figure } from "./comparison.ts";
import { percentile } from "./measure.ts";

/** Each figure but the last is the median of so many. */
const REPETITIONS = 50;
/** A queue from which so many can be cancelled, and served one by one. */
export const MIN_WAITING = 5 * REPETITIONS;
/** The defaults of the service. */
const POLICY = { priorityMs: 15 * 60 * 1000, priorityQuantity: 100, maxWaiting: 1_000 };
const price = { amount: 100, currency: "EUR" };

/** Quantities by product. */
type Quantities = Readonly<Record<string, number>>;

const products = (count: number) => Array.from({ length: count }, (_, index) => `P${index}`);
const one = (ids: readonly string[]): Quantities => Object.fromEntries(ids.map((id) => [id, 1]));

/** The lines of each waiting order, by its number. Only the product SHORT is scarce. */
const queues: Readonly<Record<string, (index: number) => Quantities>> = {
  "one product": () => one(["SHORT"]),
  "six product sets": (index) => one(["SHORT", `P${index % 6}`]),
  "every product set differs, 3 of 151 products": threeOf151,
  "every product set differs, 1 to 15 of 15 products": (index) =>
    one(["SHORT", ...products(14).filter((_, bit) => (index >> bit) % 2 === 1)]),
};

function threeOf151(index: number): Quantities {
  const distance = 1 + Math.floor(index / 150);
  return one(["SHORT", `P${index % 150}`, `P${(index + distance) % 150}`]);
}

/**
 * The time of the inventory's decisions while so many orders wait for stock: from the call of the handler until the
 * effect and the messages are on disk. The broker acknowledges at once.
 *
 * @throws CommandFailed when an order waits that a restock should have freed, or has been freed that should wait
 */
export async function measureWaitingOrders(waiting: number): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, linesOf] of Object.entries(queues)) {
    figures.push(...figuresOf(waiting, name, await measureQueue(waiting, linesOf)));
  }
  const name = "every product set differs, two products are scarce";
  return [...figures, ...figuresOf(waiting, name, await measureTwoScarceProducts(waiting))];
}

type Times = Readonly<Record<string, number>>;

function figuresOf(waiting: number, queue: string, times: Times): Figure[] {
  const section = `${waiting.toLocaleString("en")} orders wait: ${queue}`;
  return Object.entries(times).map(([name, value]) => ({ section, name, unit: "ms", value }));
}

async function measureQueue(waiting: number, linesOf: (index: number) => Quantities): Promise<Times> {
  await using inventory = new Inventory();
  const plenty = Object.fromEntries(products(150).map((id) => [id, 10 * waiting]));
  await inventory.stock({ ...plenty, FREE: waiting, SHORT: REPETITIONS });
  for (let index = 0; index < REPETITIONS; index += 1)
    await inventory.place(`RESERVED${index}`, one(["SHORT"]));
  await inventory.queue(waiting, linesOf);
  const median = async (act: (index: number) => Promise<number>): Promise<number> => {
    const all: number[] = [];
    for (let index = 0; index < REPETITIONS; index += 1) all.push(await act(index));
    return percentile(all, 0.5);
  };
  const middle = Math.floor(waiting / 2);
  const times = {
    "a new order that is reserved": await median((i) => inventory.place(`FREE${i}`, one(["FREE"]))),
    "a new order that waits": await median((i) => inventory.place(`LATE${i}`, linesOf(i))),
    "the last waiting order is cancelled": await median((i) => inventory.cancel(`LATE${i}`)),
    "one in the middle is cancelled": await median((i) => inventory.cancel(`W${middle + i}`)),
    "the first is cancelled": await median((i) => inventory.cancel(`W${i}`)),
    "a cancelled reservation serves one": await median((i) => inventory.cancel(`RESERVED${i}`)),
    "a restock serves one": await median(() => inventory.restock("SHORT", 1)),
  };
  inventory.assertWaiting(waiting - 4 * REPETITIONS);
  const all = await inventory.restock("SHORT", waiting);
  inventory.assertWaiting(0);
  return { ...times, "one restock serves all the others": all };
}

/** Every order waits for a second product as well, so a restock of the first examines all and serves none. */
async function measureTwoScarceProducts(waiting: number): Promise<Times> {
  await using inventory = new Inventory();
  await inventory.stock({
    ...Object.fromEntries(products(150).map((id) => [id, 10 * waiting])),
    SHORT: 0,
    OTHER: 0,
  });
  await inventory.queue(waiting, (index) => ({ ...threeOf151(index), OTHER: 1 }));
  const restocks: number[] = [];
  for (let index = 0; index < REPETITIONS; index += 1) restocks.push(await inventory.restock("SHORT", 1));
  inventory.pass(POLICY.priorityMs);
  const ended = await inventory.restock("P0", 1);
  const later: number[] = [];
  for (let index = 0; index < REPETITIONS; index += 1) later.push(await inventory.restock("SHORT", 1));
  inventory.assertWaiting(waiting);
  return {
    "the first restock of one of them": restocks[0] ?? Number.NaN,
    "further ones": percentile(restocks, 0.5),
    "any message, when all priorities have ended": ended,
    "further restocks": percentile(later, 0.5),
  };
}

/** An inventory on disk whose handlers are called without a broker. */
class Inventory implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "bench-"));
  readonly #database = openDatabase(join(this.#folder, "inventory.sqlite"));
  readonly #store: InventoryStore;
  readonly #messaging: Messaging;
  #passedMs = 0;

  constructor() {
    migrate(this.#database, "inventory", migrations);
    this.#store = new InventoryStore(this.#database);
    this.#messaging = new Messaging({
      service: "inventory",
      database: this.#database,
      transport: {
        publish: () => Promise.resolve(),
        subscribe: () => ({ stop: () => Promise.resolve(), healthy: () => true }),
      },
      definitions: allMessages,
      handlers: [],
      deadLetterTopic: deadLetterTopic("inventory").name,
      timers: inventoryTimers(this.#store, POLICY),
      runtime: { ...systemRuntime, now: () => Date.now() + this.#passedMs },
      log: silentLogger,
    });
    this.#messaging.start();
  }

  /** Puts the clock forward. */
  pass(ms: number): void {
    this.#passedMs += ms;
  }

  /** @throws CommandFailed when the orders that wait are more or fewer */
  assertWaiting(expected: number): void {
    const waiting = this.#store.waiting();
    if (waiting !== expected) throw new CommandFailed(`${waiting} orders wait instead of ${expected}`);
  }

  stock(onHand: Quantities): Promise<void> {
    return this.#messaging.unitOfWork.run((transaction) => {
      for (const [productId, count] of Object.entries(onHand)) {
        const product = { productId, name: productId, price, onHand: count, reserved: 0 };
        changeProduct(this.#store, product, transaction);
      }
    });
  }

  /** Places the orders that are to wait, many in a transaction. */
  async queue(count: number, linesOf: (index: number) => Quantities): Promise<void> {
    const group = 500;
    for (let from = 0; from < count; from += group) {
      const numbers = Array.from({ length: Math.min(group, count - from) }, (_, index) => from + index);
      await Promise.all(numbers.map((number) => this.place(`W${number}`, linesOf(number))));
    }
  }

  place(orderId: string, lines: Quantities): Promise<number> {
    const items = Object.entries(lines).map(([productId, quantity]) => ({
      productId,
      quantity,
      unitPrice: price,
    }));
    return this.#handle(OrderPlaced, { orderId, customerId: `OF_${orderId}`, items, total: price });
  }

  cancel(orderId: string): Promise<number> {
    return this.#handle(OrderCancelled, { orderId, customerId: `OF_${orderId}`, reason: "customer_request" });
  }

  restock(productId: string, quantity: number): Promise<number> {
    return this.#handle(Restock, { restockId: Bun.randomUUIDv7(), productId, quantity });
  }

  /** Handles a message in a unit of work. @returns the milliseconds until it is on disk */
  async #handle<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
  ): Promise<number> {
    const id = Bun.randomUUIDv7();
    const time = new Date().toISOString();
    const origin = { id, source: definition.source, time, correlationid: id, causationid: id };
    const envelope = message(definition, data, origin);
    const handler = inventoryHandlers(this.#store, POLICY).find((each) => each.definition === definition);
    if (handler === undefined) throw new Error(`the inventory does not handle ${definition.type}`);
    const startedAt = performance.now();
    const position = { topic: definition.topic.name, partition: 0, offset: 0 };
    await this.#messaging.unitOfWork.run((transaction) => handler.handle(envelope, transaction, position));
    const ms = performance.now() - startedAt;
    while (this.#messaging.outbox.depth() > 0) {
      await Bun.sleep(1);
      // What the broker has acknowledged is deleted by the next commit.
      await this.#messaging.unitOfWork.run(() => {});
    }
    return ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#messaging.stop();
    this.#database.close();
    rmSync(this.#folder, { recursive: true });
  }
}
