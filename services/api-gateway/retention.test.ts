import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  orderIdOf,
  PlaceOrder,
  StockChanged,
  StockReserved,
  topics,
} from "@distributed-messaging/contracts";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type Client, type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

const RETENTION_MS = 1_000_000;
const price = { amount: 1000, currency: "EUR" };
const lines = [{ productId: "CUP", quantity: 1 }];

let gateway: GatewayFixture;
let ann: Client;
beforeEach(async () => {
  gateway = await startGatewayFixture({ ORDER_RETENTION: `${RETENTION_MS}ms` });
  ann = await signIn(gateway, "ANN");
  await gateway.handle(StockChanged, { productId: "CUP", name: "Cup", price, available: 9, version: 1 });
});
afterEach(() => gateway[Symbol.asyncDispose]());

const ids = (name: string) => ({ orderId: orderIdOf("ANN", name), customerId: "ANN" });
const takeUp = (name: string) =>
  gateway.handle(OrderPlaced, {
    ...ids(name),
    items: [{ ...lines[0], unitPrice: price }] as never,
    total: price,
  });

async function confirmed(name: string): Promise<void> {
  await ann.place(name, 1, `key-${name}`);
  await takeUp(name);
  await gateway.handle(StockReserved, { orderId: ids(name).orderId, lines });
  await gateway.handle(OrderConfirmed, ids(name));
}

/** What retention deletes when it is so much later. */
async function sweep(laterMs: number): Promise<void> {
  const kept = gateway.parts.store.keptFor(RETENTION_MS);
  await gateway.running.messaging.unitOfWork.run(({ now }) => {
    kept.remove(now + laterMs - kept.keepMs, 100, now + laterMs);
  });
}

async function rebuilt(): Promise<void> {
  await gateway.rebuild.begin(true);
  await eventually(() => ["done", "failed"].includes(gateway.rebuild.status().phase));
  expect(gateway.rebuild.status()).toMatchObject({ phase: "done", error: null });
}

async function statuses(): Promise<unknown> {
  const { body } = await ann.get("/orders?limit=100");
  return Object.fromEntries(
    (body as unknown as { orderId: string; status: string }[]).map(({ orderId, status }) => [
      orderId,
      status,
    ]),
  );
}

test("orders that are final are deleted with their histories, all others stay however old they are", async () => {
  await ann.place("ACCEPTED", 1);
  await ann.place("PENDING", 1);
  await takeUp("PENDING");
  await confirmed("CONFIRMED");
  await sweep(0.9 * RETENTION_MS);
  expect(await statuses()).toEqual({ ACCEPTED: "accepted", PENDING: "pending", CONFIRMED: "confirmed" });
  await sweep(2 * RETENTION_MS);
  await sweep(2 * RETENTION_MS);
  expect(await statuses()).toEqual({ ACCEPTED: "accepted", PENDING: "pending" });
  const steps = gateway.database.sql.query(
    "SELECT count(*) AS n FROM order_steps WHERE order_seq NOT IN (SELECT seq FROM orders)",
  );
  expect(steps.get()).toEqual({ n: 0 });
});

test("a deleted order is not found, cannot be cancelled, and cannot be placed again", async () => {
  await confirmed("A");
  await sweep(2 * RETENTION_MS);
  await gateway.restart();
  ann = await signIn(gateway, "ANN");
  expect((await ann.get("/orders/A")).status).toBe(404);
  expect((await ann.cancel("A")).status).toBe(404);
  expect((await ann.get("/orders?after=A")).body).toEqual([] as never);
  const commands = gateway.emitted(PlaceOrder).length;
  expect(await ann.place("A", 1, "key-A")).toMatchObject({ status: 202, replayed: true });
  expect(await ann.place("A", 1)).toMatchObject({
    status: 409,
    body: { type: "urn:problem-type:order-deleted" },
  });
  expect(gateway.emitted(PlaceOrder)).toHaveLength(commands);
  // Late messages about it do not bring it back, and are no dead letters.
  await gateway.handle(OrderCancelled, { ...ids("A"), reason: "customer_request" });
  await gateway.handle(StockReserved, { orderId: ids("A").orderId, lines });
  expect((await ann.get("/orders/A")).status).toBe(404);
  expect(gateway.running.messaging.deadLetters.count()).toBe(0);
});

test("a rebuild neither brings deleted orders back nor loses others, also when the topics have lost their oldest records", async () => {
  for (const name of ["OLD-1", "OLD-2", "OLD-3"]) await confirmed(name);
  await sweep(2 * RETENTION_MS);
  await confirmed("NEW");
  await ann.place("ACCEPTED", 1);
  const expected = { NEW: "confirmed", ACCEPTED: "accepted" };
  await rebuilt();
  expect(await statuses()).toEqual(expected);
  // Of the deleted orders the topics lose everything, so that the logs of most partitions are empty.
  const isNew = (key: string | null) => key === ids("NEW").orderId;
  for (const { name, partitions } of [topics.orderEvents, topics.inventoryEvents]) {
    for (let partition = 0; partition < partitions; partition += 1) {
      const log = gateway.broker.partition(name, partition);
      log.trim(log.records.find(({ key }) => isNew(key && Buffer.from(key).toString()))?.offset ?? log.end);
    }
  }
  await rebuilt();
  expect(await statuses()).toEqual(expected);
});
