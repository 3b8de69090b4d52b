import { afterEach, beforeEach, expect, test } from "bun:test";
import { OrderCancelled, OrderConfirmed, OrderPlaced, StockReserved } from "@distributed-messaging/contracts";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { changeProduct } from "./handlers.ts";
import { service } from "./service.ts";

const RETENTION_MS = 1_000_000;
const price = { amount: 100, currency: "EUR" };
const start = () => new ServiceFixture(service, { env: { ORDER_RETENTION: `${RETENTION_MS}ms` } }).start();

let fixture: Awaited<ReturnType<typeof start>>;
beforeEach(async () => {
  fixture = await start();
  await fixture.running.messaging.unitOfWork.run((transaction) => {
    const cup = { productId: "CUP", name: "Cup", price, onHand: 3, reserved: 0 };
    changeProduct(fixture.parts.store, cup, transaction);
  });
});
afterEach(() => fixture[Symbol.asyncDispose]());

const place = (orderId: string, quantity = 1) =>
  fixture.handle(OrderPlaced, {
    ...{ orderId, customerId: "ANN", total: { ...price, amount: 100 * quantity } },
    items: [{ productId: "CUP", quantity, unitPrice: price }],
  });
const ids = (orderId: string) => ({ orderId, customerId: "ANN" });

async function sweep(): Promise<void> {
  const kept = fixture.parts.store.keptFor(RETENTION_MS);
  await fixture.running.messaging.unitOfWork.run(({ now }) => {
    const later = now + 2 * RETENTION_MS;
    kept.remove(later - kept.keepMs, 100, later);
  });
}

test("only reservations of orders that are final are deleted, and no stock comes back", async () => {
  const { store } = fixture.parts;
  for (const id of ["CONFIRMED", "UNDECIDED", "CANCELLED"]) await place(id);
  await place("WAITING", 2);
  await fixture.handle(OrderConfirmed, ids("CONFIRMED"));
  await fixture.handle(OrderCancelled, { ...ids("CANCELLED"), reason: "customer_request" });
  const before = store.stock("CUP");
  expect(before).toMatchObject({ onHand: 3, reserved: 2 });
  await sweep();
  await sweep();
  const left = ["CONFIRMED", "UNDECIDED", "CANCELLED", "WAITING"].map((id) => store.reservation(id)?.status);
  expect(left).toEqual([undefined, "reserved", undefined, "waiting"]);
  expect(store.stock("CUP")).toEqual(before);
});

test("messages about an order that was deleted reserve and release nothing", async () => {
  await place("A");
  await fixture.handle(OrderConfirmed, ids("A"));
  await sweep();
  await place("A");
  await fixture.handle(OrderConfirmed, ids("A"));
  await fixture.handle(OrderCancelled, { ...ids("A"), reason: "customer_request" });
  expect(fixture.parts.store.reservation("A")).toBeUndefined();
  expect(fixture.parts.store.stock("CUP")).toMatchObject({ onHand: 3, reserved: 1 });
  expect(fixture.emitted(StockReserved)).toHaveLength(1);
  expect(fixture.running.messaging.deadLetters.count()).toBe(0);
});
