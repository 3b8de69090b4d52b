import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  OrderCancelled,
  OrderPlaced,
  Restock,
  StockChanged,
  StockReserved,
} from "@distributed-messaging/contracts";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { changeProduct } from "./handlers.ts";
import { service } from "./service.ts";

const start = () => new ServiceFixture(service).start();
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
  return inventory.handle(OrderPlaced, { orderId, customerId: "ANN", items, total: price });
}

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
