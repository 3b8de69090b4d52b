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
import { percentile, report } from "./measure.ts";

const WAITING = 10_000;
/** Each figure but the last is the median of so many. */
const REPETITIONS = 50;
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
 * The time of the inventory's decisions while 10,000 orders wait for stock: from the call of the handler until the
 * effect and the messages are on disk. The broker acknowledges at once.
 */
export async function benchWaitingOrders(): Promise<void> {
  for (const [name, linesOf] of Object.entries(queues)) await benchQueue(name, linesOf);
  await benchTwoScarceProducts();
}

async function benchQueue(name: string, linesOf: (index: number) => Quantities): Promise<void> {
  await using inventory = new Inventory();
  const plenty = Object.fromEntries(products(150).map((id) => [id, 10 * WAITING]));
  await inventory.stock({ ...plenty, FREE: WAITING, SHORT: REPETITIONS });
  for (let index = 0; index < REPETITIONS; index += 1)
    await inventory.place(`RESERVED${index}`, one(["SHORT"]));
  await inventory.queue(linesOf);
  const median = async (act: (index: number) => Promise<number>): Promise<number> => {
    const all: number[] = [];
    for (let index = 0; index < REPETITIONS; index += 1) all.push(await act(index));
    return percentile(all, 0.5);
  };
  const figures = {
    "a new order that is reserved": await median((i) => inventory.place(`FREE${i}`, one(["FREE"]))),
    "a new order that waits": await median((i) => inventory.place(`LATE${i}`, linesOf(i))),
    "the last waiting order is cancelled": await median((i) => inventory.cancel(`LATE${i}`)),
    "one in the middle is cancelled": await median((i) => inventory.cancel(`W${WAITING / 2 + i}`)),
    "the first is cancelled": await median((i) => inventory.cancel(`W${i}`)),
    "a cancelled reservation serves one": await median((i) => inventory.cancel(`RESERVED${i}`)),
    "a restock serves one": await median(() => inventory.restock("SHORT", 1)),
    "one restock serves all the others": await inventory.restock("SHORT", WAITING),
  };
  if (inventory.waiting() > 0) throw new Error(`${inventory.waiting()} orders still wait`);
  show(name, figures);
}

/** Every order waits for a second product as well, so a restock of the first examines all and serves none. */
async function benchTwoScarceProducts(): Promise<void> {
  await using inventory = new Inventory();
  await inventory.stock({
    ...Object.fromEntries(products(150).map((id) => [id, 10 * WAITING])),
    SHORT: 0,
    OTHER: 0,
  });
  await inventory.queue((index) => ({ ...threeOf151(index), OTHER: 1 }));
  const restocks: number[] = [];
  for (let index = 0; index < REPETITIONS; index += 1) restocks.push(await inventory.restock("SHORT", 1));
  inventory.pass(POLICY.priorityMs);
  const ended = await inventory.restock("P0", 1);
  const later: number[] = [];
  for (let index = 0; index < REPETITIONS; index += 1) later.push(await inventory.restock("SHORT", 1));
  show("every product set differs, two products are scarce", {
    "the first restock of one of them": restocks[0] ?? Number.NaN,
    "further ones": percentile(restocks, 0.5),
    "any message, when all priorities have ended": ended,
    "further restocks": percentile(later, 0.5),
  });
}

function show(name: string, figures: Readonly<Record<string, number>>): void {
  report(
    `${WAITING.toLocaleString("en")} orders wait: ${name}`,
    Object.entries(figures).map(([what, value]) => ({ what, value, unit: "ms" })),
  );
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

  waiting(): number {
    return this.#store.waiting();
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
  async queue(linesOf: (index: number) => Quantities): Promise<void> {
    const group = 500;
    for (let from = 0; from < WAITING; from += group) {
      const numbers = Array.from({ length: group }, (_, index) => from + index);
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
    await this.#messaging.unitOfWork.run((transaction) => handler.handle(envelope, transaction));
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

if (import.meta.main) await benchWaitingOrders();
