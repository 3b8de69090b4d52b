import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  allMessages,
  allTopics,
  OrderCancelled,
  OrderPlaced,
  Restock,
  StockChanged,
  StockReserved,
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
  type ServiceDatabase,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { eventually } from "@distributed-messaging/messaging/testing";
import { changeProduct, inventoryHandlers } from "./handlers.ts";
import { migrations } from "./migrations/index.ts";
import { InventoryStore } from "./store.ts";

let database: ServiceDatabase;
let broker: MemoryBroker;
let store: InventoryStore;
let messaging: Messaging;

const price = { amount: 100, currency: "EUR" };

beforeEach(async () => {
  database = openDatabase(":memory:");
  migrate(database, "inventory", migrations);
  broker = new MemoryBroker([...allTopics, deadLetterTopic("inventory")], systemRuntime);
  store = new InventoryStore(database);
  messaging = new Messaging({
    service: "inventory",
    database,
    transport: broker,
    definitions: allMessages,
    handlers: inventoryHandlers(store),
    deadLetterTopic: deadLetterTopic("inventory").name,
    runtime: systemRuntime,
    log: silentLogger,
  });
  messaging.start();
  await messaging.unitOfWork.run((transaction) => {
    for (const productId of ["CUP", "JUG"]) {
      changeProduct(store, { productId, name: productId, price, onHand: 3, reserved: 0 }, transaction);
    }
  });
});
afterEach(async () => {
  await messaging.stop();
  database.close();
});

/** Has the inventory handle a message, as often as it is told to. */
async function tell<Definition extends MessageDefinition>(
  definition: Definition,
  data: DataOf<Definition>,
  times = 1,
): Promise<void> {
  const handled = () =>
    messaging.consumer.counts.handled +
    messaging.consumer.counts.duplicate +
    messaging.consumer.counts.parked;
  const before = handled();
  const id = Bun.randomUUIDv7();
  const origin = { id, source: "test", time: new Date().toISOString(), correlationid: id, causationid: id };
  const record = encode(definition, message(definition, data, origin));
  await broker.publish(Array.from({ length: times }, () => record));
  await eventually(() => handled() === before + times);
}

function place(orderId: string, ...lines: [productId: string, quantity: number][]): Promise<void> {
  const items = lines.map(([productId, quantity]) => ({ productId, quantity, unitPrice: price }));
  return tell(OrderPlaced, { orderId, customerId: "ANN", items, total: price });
}

const cancel = (orderId: string, times = 1) =>
  tell(OrderCancelled, { orderId, customerId: "ANN", reason: "customer_request" }, times);

/** What was said of a kind, oldest first. */
async function said(definition: MessageDefinition): Promise<Message[]> {
  await eventually(() => messaging.outbox.depth() === 0);
  return broker
    .records(definition.topic.name)
    .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Message)
    .filter(({ type }) => type === definition.type)
    .sort((one, other) => (one.id < other.id ? -1 : 1));
}

const states = async () => (await said(StockChanged)).map(({ data }) => data as DataOf<typeof StockChanged>);

test("every change of a product is told once, under a version that only grows", async () => {
  await place("X", ["CUP", 2], ["JUG", 1]);
  await place("Y", ["CUP", 2]);
  await tell(Restock, { restockId: "R", productId: "CUP", quantity: 5 });
  await cancel("X");
  const told = await states();
  expect(told.map(({ productId, available }) => `${productId} ${available}`)).toEqual([
    "CUP 3",
    "JUG 3",
    "CUP 1",
    "JUG 2",
    "CUP 4",
    "CUP 6",
    "JUG 3",
  ]);
  const versions = told.map(({ version }) => version);
  expect(versions).toEqual(versions.toSorted((one, other) => one - other));
  expect(new Set(versions).size).toBe(versions.length);
});

test("stock that goes from one order to the next in one transaction has not changed", async () => {
  await place("X", ["CUP", 3]);
  await place("Y", ["CUP", 3]);
  const before = (await states()).length;
  await cancel("X");
  expect((await said(StockReserved)).map(({ subject }) => subject)).toEqual(["X", "Y"]);
  expect(await states()).toHaveLength(before);
  expect(store.product("CUP")).toMatchObject({ onHand: 3, reserved: 3 });
});

test("a message that comes twice has one effect", async () => {
  await place("X", ["CUP", 2]);
  await tell(Restock, { restockId: "R", productId: "CUP", quantity: 5 }, 3);
  await cancel("X", 3);
  // The same restock in another message, as a relay that lost its answer would not send it.
  await tell(Restock, { restockId: "R", productId: "CUP", quantity: 5 });
  expect(store.product("CUP")).toMatchObject({ onHand: 8, reserved: 0 });
  expect(messaging.deadLetters.count()).toBe(0);
});

test("a restock that cannot be is kept as a dead letter, with nothing changed", async () => {
  await tell(Restock, { restockId: "R", productId: "PLATE", quantity: 5 });
  await tell(Restock, { restockId: "S", productId: "CUP", quantity: 5 });
  await tell(Restock, { restockId: "S", productId: "JUG", quantity: 5 });
  expect(messaging.deadLetters.count()).toBe(2);
  expect(store.product("CUP")).toMatchObject({ onHand: 8 });
  expect(store.product("JUG")).toMatchObject({ onHand: 3 });
});

test("everything forgotten is forgotten: nobody waits any more, nothing is in anybody's way", async () => {
  await place("X", ["CUP", 9]);
  await place("Y", ["CUP", 1]);
  expect(store.waiting()).toBe(2);
  await messaging.unitOfWork.run((transaction) => {
    store.clear(transaction);
    changeProduct(store, { productId: "CUP", name: "Cup", price, onHand: 3, reserved: 0 }, transaction);
  });
  expect(store.waiting()).toBe(0);
  await place("Z", ["CUP", 3]);
  expect(store.reservationStatus("Z")).toBe("reserved");
  await cancel("X");
  expect(store.product("CUP")).toMatchObject({ onHand: 3, reserved: 3 });
});
