import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  OrderCancelled,
  OrderPlaced,
  Restock,
  StockChanged,
  StockReserved,
} from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { changeProduct } from "./handlers.ts";
import { service } from "./service.ts";

const PRIORITY_MS = 60_000;
const start = () => new ServiceFixture(service, { env: { BACKORDER_PRIORITY: `${PRIORITY_MS}ms` } }).start();
let inventory: Awaited<ReturnType<typeof start>>;

const price = { amount: 100, currency: "EUR" };

beforeEach(async () => {
  inventory = await start();
  const { messaging, parts } = inventory.running;
  await messaging.unitOfWork.run((transaction) => {
    for (const productId of ["CUP", "JUG"]) {
      changeProduct(parts.store, { productId, name: productId, price, onHand: 3, reserved: 0 }, transaction);
    }
  });
});
afterEach(() => inventory[Symbol.asyncDispose]());

function place(orderId: string, ...lines: [productId: string, quantity: number][]): Promise<void> {
  const items = lines.map(([productId, quantity]) => ({ productId, quantity, unitPrice: price }));
  return inventory.handle(OrderPlaced, { orderId, customerId: `OF_${orderId}`, items, total: price });
}

const timers = () =>
  inventory.database.sql
    .query<{ due_at: number }, []>("SELECT due_at FROM timers")
    .all()
    .map((row) => row.due_at);

const cancel = (orderId: string, times = 1) =>
  inventory.handle(OrderCancelled, { orderId, customerId: "ANN", reason: "customer_request" }, { times });

test("every change of a product is published once, under a version that only grows", async () => {
  await place("X", ["CUP", 2], ["JUG", 1]);
  await place("Y", ["CUP", 2]);
  await inventory.handle(Restock, { restockId: "R", productId: "CUP", quantity: 5 });
  await cancel("X");
  const states = inventory.emitted(StockChanged).map(({ data }) => data);
  expect(states.map(({ productId, available }) => `${productId} ${available}`)).toEqual([
    "CUP 3",
    "JUG 3",
    "CUP 1",
    "JUG 2",
    "CUP 4",
    "CUP 6",
    "JUG 3",
  ]);
  const versions = states.map(({ version }) => version);
  expect(versions).toEqual(versions.toSorted((one, other) => one - other));
  expect(new Set(versions).size).toBe(versions.length);
});

test("of the changes of a product that commit together, the last one is published", async () => {
  const { messaging, parts } = inventory.running;
  const change = (onHand: number) =>
    messaging.unitOfWork.run((transaction) => {
      const product = { productId: "CUP", name: "CUP", price, onHand, reserved: 0 };
      changeProduct(parts.store, product, transaction);
    });
  // On a busy machine a commit may end before all three are in it.
  await eventually(async () => {
    const before = inventory.emitted(StockChanged).length;
    await Promise.all([change(4), change(5), change(6)]);
    const states = inventory.emitted(StockChanged).slice(before);
    return states.length === 1 && states[0]?.data.available === 6;
  }, "one state of three changes");
});

test("stock that moves from one order to another in one transaction has not changed", async () => {
  await place("X", ["CUP", 3]);
  await place("Y", ["CUP", 3]);
  const before = inventory.emitted(StockChanged).length;
  await cancel("X");
  expect(inventory.emitted(StockReserved).map(({ subject }) => subject)).toEqual(["X", "Y"]);
  expect(inventory.emitted(StockChanged)).toHaveLength(before);
  expect(inventory.parts.store.product("CUP")).toMatchObject({ onHand: 3, reserved: 3 });
});

test("a message that arrives twice has one effect", async () => {
  await place("X", ["CUP", 2]);
  await inventory.handle(Restock, { restockId: "R", productId: "CUP", quantity: 5 }, { times: 3 });
  await cancel("X", 3);
  // The same restock in another message.
  await inventory.handle(Restock, { restockId: "R", productId: "CUP", quantity: 5 });
  expect(inventory.parts.store.product("CUP")).toMatchObject({ onHand: 8, reserved: 0 });
  expect(inventory.running.messaging.deadLetters.count()).toBe(0);
});

test("an impossible restock becomes a dead letter and changes nothing", async () => {
  await inventory.handle(Restock, { restockId: "R", productId: "PLATE", quantity: 5 });
  await inventory.handle(Restock, { restockId: "S", productId: "CUP", quantity: 5 });
  await inventory.handle(Restock, { restockId: "S", productId: "JUG", quantity: 5 });
  expect(inventory.running.messaging.deadLetters.count()).toBe(2);
  expect(inventory.parts.store.product("CUP")).toMatchObject({ onHand: 8 });
  expect(inventory.parts.store.product("JUG")).toMatchObject({ onHand: 3 });
});

test("clear deletes the wait queue, too: no order waits, and none is blocked", async () => {
  await place("X", ["CUP", 9]);
  await place("Y", ["CUP", 1]);
  expect(inventory.parts.store.waiting()).toBe(2);
  await inventory.running.messaging.unitOfWork.run((transaction) => {
    inventory.parts.store.clear();
    changeProduct(
      inventory.parts.store,
      { productId: "CUP", name: "Cup", price, onHand: 3, reserved: 0 },
      transaction,
    );
  });
  expect(inventory.parts.store.waiting()).toBe(0);
  await place("Z", ["CUP", 3]);
  expect(inventory.parts.store.reservation("Z")?.status).toBe("reserved");
  await cancel("X");
  expect(inventory.parts.store.product("CUP")).toMatchObject({ onHand: 3, reserved: 3 });
});

describe("the end of a priority", () => {
  test("serves the orders behind it without any message, also after downtime", async () => {
    await place("X", ["CUP", 9]);
    await place("Y", ["CUP", 9]);
    await place("Z", ["CUP", 1]);
    expect(inventory.emitted(StockReserved)).toEqual([]);
    expect(timers()).toHaveLength(1);
    await inventory.stop();
    inventory.aheadMs = PRIORITY_MS;
    await inventory.start();
    await eventually(() => inventory.emitted(StockReserved).length === 1);
    expect(inventory.emitted(StockReserved).map(({ subject }) => subject)).toEqual(["Z"]);
    await eventually(() => timers().length === 0);
    expect(inventory.parts.store.waiting()).toBe(2);
  });

  test("has one timer, for the priority that ends first", async () => {
    await place("X", ["CUP", 9]);
    const first = timers();
    inventory.aheadMs = PRIORITY_MS / 2;
    await place("Y", ["CUP", 9]);
    await cancel("X");
    expect(timers()).toEqual(first);
    await inventory.stop();
    inventory.aheadMs = PRIORITY_MS;
    await inventory.start();
    // The first order is gone: the timer is set for the next.
    await eventually(() => timers().some((due) => due > (first[0] ?? 0)));
    expect(timers()).toEqual([inventory.parts.store.firstPriority()?.priorityUntil ?? 0]);
  });

  test("is noticed by whatever the inventory handles next, before any timer", async () => {
    await place("X", ["CUP", 9]);
    inventory.aheadMs = PRIORITY_MS;
    await place("Y", ["CUP", 3]);
    expect(inventory.emitted(StockReserved).map(({ subject }) => subject)).toEqual(["Y"]);
  });
});

test("one order of everything, as large as an order can be, holds up nobody", async () => {
  await place("MALLORY", ["CUP", 10_000], ["JUG", 10_000]);
  await place("BOB", ["CUP", 1], ["JUG", 1]);
  expect(inventory.emitted(StockReserved).map(({ subject }) => subject)).toEqual(["BOB"]);
  expect(inventory.parts.store.waiting()).toBe(1);
});
