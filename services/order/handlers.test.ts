import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  allMessages,
  allTopics,
  CancelOrder,
  OrderCancelled,
  PlaceOrder,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import {
  type DataOf,
  deadLetterTopic,
  encode,
  type Message,
  type MessageDefinition,
  Messaging,
  message,
  migrate,
  openDatabase,
  type Runtime,
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually } from "@distributed-messaging/messaging/testing";
import { orderHandlers, orderTimers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { OrderStore } from "./store.ts";

const TTL_MS = 60_000;

/** An order service in this process, with a clock that can be set. */
class TestOrders {
  readonly database: ServiceDatabase = openDatabase(":memory:");
  readonly broker = new MemoryBroker([...allTopics, deadLetterTopic("order")], systemRuntime);
  /** Milliseconds that its clock is ahead. */
  aheadMs = 0;
  store: OrderStore;
  messaging: Messaging | undefined;
  readonly #runtime: Runtime = { ...systemRuntime, now: () => Date.now() + this.aheadMs };

  constructor() {
    migrate(this.database, "order", migrations);
    this.store = new OrderStore(this.database);
    this.start();
  }

  start(): void {
    this.store = new OrderStore(this.database);
    this.messaging = new Messaging({
      service: "order",
      database: this.database,
      transport: this.broker,
      definitions: allMessages,
      handlers: orderHandlers(this.store, TTL_MS),
      timers: orderTimers(this.store, TTL_MS),
      deadLetterTopic: deadLetterTopic("order").name,
      runtime: this.#runtime,
      log: silentLogger,
    });
    this.messaging.start();
  }

  async stop(): Promise<void> {
    await this.messaging?.stop();
    this.messaging = undefined;
  }

  async tell<Definition extends MessageDefinition>(
    definition: Definition,
    data: DataOf<Definition>,
  ): Promise<void> {
    const id = Bun.randomUUIDv7();
    const origin = {
      id,
      source: "test",
      time: new Date().toISOString(),
      correlationid: "trace",
      causationid: id,
    };
    await this.broker.publish([encode(definition, message(definition, data, origin))]);
  }

  async statusIs(orderId: string, status: string): Promise<void> {
    await eventually(() => this.store.find(orderId)?.status === status, `${orderId} is not ${status}`);
  }

  /** What it said about its orders. */
  said(definition: MessageDefinition): Message[] {
    return this.broker
      .records(definition.topic.name)
      .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Message)
      .filter(({ type }) => type === definition.type);
  }

  deadlines(): number {
    return this.messaging?.timerStore.counts().pending ?? 0;
  }
}

let orders: TestOrders;
beforeEach(async () => {
  orders = new TestOrders();
  await orders.tell(PlaceOrder, {
    orderId: "X",
    customerId: "ANN",
    items: [{ productId: "CUP", quantity: 2, unitPrice: { amount: 100, currency: "EUR" } }],
    total: { amount: 200, currency: "EUR" },
  });
  await short(1);
  await orders.statusIs("X", "backordered");
});
afterEach(async () => {
  await orders.stop();
  orders.database.close();
});

const short = (revision: number) =>
  orders.tell(StockShort, { orderId: "X", shortages: [{ productId: "CUP", missing: 2 }], revision });
const reserved = () =>
  orders.tell(StockReserved, { orderId: "X", lines: [{ productId: "CUP", quantity: 2 }] });

describe("the deadline of an order that waits", () => {
  test("is set when it begins to wait, and stays where it is when it lacks something else", async () => {
    const due = () => orders.database.sql.query("SELECT key, due_at FROM timers").all();
    const before = due();
    expect(before).toHaveLength(1);
    orders.aheadMs = TTL_MS / 2;
    await short(2);
    await eventually(() => (orders.store.find("X") as { revision?: number }).revision === 2);
    expect(due()).toEqual(before);
  });

  test("is gone once it is confirmed, or cancelled", async () => {
    expect(orders.deadlines()).toBe(1);
    await reserved();
    await orders.statusIs("X", "confirmed");
    expect(orders.deadlines()).toBe(0);
  });

  test("cancels it once, and puts that down to what began with the order", async () => {
    orders.aheadMs = TTL_MS;
    // Anything that commits has the deadlines looked at: a sleep may not have noticed that the clock was set.
    await orders.stop();
    orders.start();
    await orders.statusIs("X", "cancelled");
    await eventually(() => orders.said(OrderCancelled).length > 0);
    expect(orders.said(OrderCancelled)).toMatchObject([
      { data: { orderId: "X", customerId: "ANN", reason: "backorder_expired" }, correlationid: "trace" },
    ]);
    expect(orders.deadlines()).toBe(0);
  });

  test("that came while the service was down is kept at its next start, also if stock came meanwhile", async () => {
    await orders.stop();
    await reserved();
    await orders.tell(CancelOrder, { orderId: "X", reason: "customer_request" });
    orders.aheadMs = TTL_MS;
    orders.start();
    await orders.statusIs("X", "cancelled");
    await eventually(() => orders.messaging?.consumer.counts.handled === 2);
    expect(orders.said(OrderCancelled)).toMatchObject([{ data: { reason: "backorder_expired" } }]);
    expect(orders.messaging?.deadLetters.count()).toBe(0);
  });

  test("that has not come yet when the service is back lets the stock that came meanwhile count", async () => {
    await orders.stop();
    await reserved();
    orders.aheadMs = TTL_MS - 10_000;
    orders.start();
    await orders.statusIs("X", "confirmed");
  });
});

test("cancelling twice is one effect", async () => {
  await orders.tell(CancelOrder, { orderId: "X", reason: "customer_request" });
  await orders.tell(CancelOrder, { orderId: "X", reason: "customer_request" });
  await eventually(() => orders.messaging?.consumer.counts.handled === 4);
  await eventually(() => orders.said(OrderCancelled).length > 0);
  expect(orders.said(OrderCancelled)).toHaveLength(1);
  expect(orders.deadlines()).toBe(0);
});

test("an order is counted under its status, whichever that is", async () => {
  expect(orders.store.countByStatus("backordered")).toBe(1);
  await orders.tell(CancelOrder, { orderId: "X", reason: "customer_request" });
  await orders.statusIs("X", "cancelled");
  expect(orders.store.countByStatus("backordered")).toBe(0);
  expect(orders.store.countByStatus("cancelled")).toBe(1);
});
