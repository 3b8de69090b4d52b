import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  CancelOrder,
  OrderPlaced,
  PlaceOrder,
  StockReleased,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import { ServiceFixture } from "@distributed-messaging/service/testing";
import { service } from "./service.ts";

const RETENTION_MS = 1_000_000;
const start = () =>
  new ServiceFixture(service, {
    env: { ORDER_RETENTION: `${RETENTION_MS}ms`, BACKORDER_TTL: `${RETENTION_MS}ms` },
  }).start();

let fixture: Awaited<ReturnType<typeof start>>;
beforeEach(async () => {
  fixture = await start();
});
afterEach(() => fixture[Symbol.asyncDispose]());

const placed = (orderId: string) => ({
  orderId,
  customerId: "ANN",
  items: [{ productId: "CUP", quantity: 1, unitPrice: { amount: 100, currency: "EUR" } }],
  total: { amount: 100, currency: "EUR" },
});

/** What retention deletes when it is so much later. */
async function sweep(laterMs: number): Promise<void> {
  const kept = fixture.parts.store.keptFor(RETENTION_MS);
  await fixture.running.messaging.unitOfWork.run(({ now }) => {
    kept.remove(now + laterMs - kept.keepMs, 100, now + laterMs);
  });
}

test("orders that are final are deleted, all others stay however old they are", async () => {
  const { store } = fixture.parts;
  for (const id of ["PENDING", "WAITING", "CONFIRMED", "CANCELLED"])
    await fixture.handle(PlaceOrder, placed(id));
  const shortages = [{ productId: "CUP", missing: 1 }];
  await fixture.handle(StockShort, { orderId: "WAITING", shortages, revision: 1 });
  await fixture.handle(StockReserved, { orderId: "CONFIRMED", lines: [{ productId: "CUP", quantity: 1 }] });
  await fixture.handle(CancelOrder, { orderId: "CANCELLED", reason: "customer_request" });
  await sweep(1.2 * RETENTION_MS);
  expect(store.find("CONFIRMED")?.status).toBe("confirmed");
  await sweep(2 * RETENTION_MS);
  await sweep(2 * RETENTION_MS);
  const left = ["PENDING", "WAITING", "CONFIRMED", "CANCELLED"].map((id) => store.find(id)?.status);
  expect(left).toEqual(["pending", "backordered", undefined, undefined]);
  expect([store.countByStatus("confirmed"), store.countByStatus("cancelled")]).toEqual([0, 0]);
});

test("a deleted order is not placed again, and late messages about it have no effect", async () => {
  await fixture.handle(PlaceOrder, placed("A"));
  await fixture.handle(CancelOrder, { orderId: "A", reason: "customer_request" });
  await sweep(2 * RETENTION_MS);
  await fixture.restart();
  await fixture.handle(PlaceOrder, placed("A"));
  await fixture.handle(StockReleased, { orderId: "A", lines: [{ productId: "CUP", quantity: 1 }] });
  await fixture.handle(CancelOrder, { orderId: "A", reason: "customer_request" });
  expect(fixture.parts.store.find("A")).toBeUndefined();
  expect(fixture.emitted(OrderPlaced)).toHaveLength(1);
  expect(fixture.running.messaging.deadLetters.count()).toBe(0);
  // Long after, its id is as good as new.
  await sweep(10 * RETENTION_MS);
  await fixture.handle(PlaceOrder, placed("A"));
  expect(fixture.parts.store.find("A")?.status).toBe("pending");
});
