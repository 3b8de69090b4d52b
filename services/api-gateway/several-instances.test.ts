import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  CancelOrder,
  OrderCancelled,
  OrderPlaced,
  orderIdOf,
  PlaceOrder,
  StockChanged,
} from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { untilConsistent } from "./consistency.ts";
import { type Client, type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

/* Two gateways in this process, of which neither has heard of the other. The tests publish what the order service decides. */

const CUSTOMER = "ANN";
const price = { amount: 250, currency: "EUR" };

let gateways: readonly [GatewayFixture, GatewayFixture];
let clients: readonly [Client, Client];
beforeEach(async () => {
  gateways = [await startGatewayFixture({ INSTANCE: "a" }), await startGatewayFixture({ INSTANCE: "b" })];
  await each((gateway) =>
    gateway.handle(StockChanged, { productId: "CUP", name: "Cup", price, available: 9, version: 1 }),
  );
  clients = [await signIn(gateways[0], CUSTOMER), await signIn(gateways[1], CUSTOMER)];
});
afterEach(() => each((gateway) => gateway[Symbol.asyncDispose]()));

async function each(work: (gateway: GatewayFixture) => PromiseLike<unknown>): Promise<void> {
  for (const gateway of gateways) await work(gateway);
}

const placedWith = (name: string, quantity: number): DataOf<typeof OrderPlaced> => ({
  ...{ orderId: orderIdOf(CUSTOMER, name), customerId: CUSTOMER },
  items: [{ productId: "CUP", quantity, unitPrice: price }],
  total: { amount: quantity * price.amount, currency: "EUR" },
});
const items = [{ productId: "CUP", quantity: 1 }];

test("the same request with a key at two gateways is one order, also at that which knew of it", async () => {
  const answers = [];
  for (const client of clients) answers.push(await client.post("/orders", { items }, "key"));
  expect(answers.map(({ status }) => status)).toEqual([202, 202]);
  const [name] = new Set(answers.map(({ body }) => String(body.orderId)));
  expect(answers.map(({ body }) => body.orderId)).toEqual([name, name]);
  const sent = gateways.map((gateway) => gateway.emitted(PlaceOrder).map(({ data }) => data.orderId));
  expect(sent).toEqual([[orderIdOf(CUSTOMER, name ?? "")], [orderIdOf(CUSTOMER, name ?? "")]]);

  await gateways[1].handle(OrderPlaced, placedWith("other", 1));
  const another = await clients[0].post("/orders", { items }, "another");
  await gateways[1].handle(OrderPlaced, placedWith(String(another.body.orderId), 1));
  const again = await clients[1].post("/orders", { items }, "another");
  expect([again.status, again.replayed, again.body.orderId]).toEqual([202, true, another.body.orderId]);
  const more = [{ productId: "CUP", quantity: 2 }];
  const third = await clients[0].post("/orders", { items }, "third");
  await gateways[1].handle(OrderPlaced, placedWith(String(third.body.orderId), 1));
  const conflict = await clients[1].post("/orders", { items: more }, "third");
  expect([conflict.status, conflict.body.type]).toEqual([422, expect.stringContaining("key-conflict")]);
});

test("keys of two customers, and two keys of one, are different orders", async () => {
  const other = await signIn(gateways[0], "BOB");
  const names = [];
  for (const [client, key] of [
    [clients[0], "key"],
    [clients[0], "key2"],
    [other, "key"],
  ] as const)
    names.push((await client.post("/orders", { items }, key)).body.orderId);
  expect(new Set(names).size).toBe(3);
});

test("of one name with two contents the first that the order service took is the order, at both gateways", async () => {
  expect((await clients[0].place("MINE", 1)).status).toBe(202);
  expect((await clients[1].place("MINE", 2)).status).toBe(202);
  await each((gateway) => gateway.handle(OrderPlaced, placedWith("MINE", 1)));
  const shown = [];
  for (const client of clients) shown.push((await client.get("/orders/MINE")).body);
  for (const order of shown)
    expect(order).toMatchObject({ status: "pending", items: [{ quantity: 1 }], total: { amount: 250 } });
  expect((await clients[1].place("MINE", 2)).status).toBe(422);
  expect((await clients[1].place("MINE", 1)).replayed).toBe(true);
});

test("an order is cancelled at the other gateway, once that knows of it", async () => {
  await clients[0].place("MINE");
  expect((await clients[1].cancel("MINE")).status).toBe(404);
  await each((gateway) => gateway.handle(OrderPlaced, placedWith("MINE", 1)));
  expect((await clients[1].cancel("MINE")).status).toBe(202);
  expect(gateways[1].emitted(CancelOrder).map(({ data, source }) => [data.orderId, source])).toEqual([
    [orderIdOf(CUSTOMER, "MINE"), "api-gateway/b"],
  ]);
  const cancelled = { orderId: orderIdOf(CUSTOMER, "MINE"), customerId: CUSTOMER };
  await each((gateway) => gateway.handle(OrderCancelled, { ...cancelled, reason: "customer_request" }));
  for (const client of clients) expect((await client.get("/orders/MINE")).body.status).toBe("cancelled");
});

test("a read with the token of an answer waits until its gateway shows the order, and then its cancellation", async () => {
  const { consistency: placed } = await clients[0].place("MINE");
  expect((await clients[0].get("/orders/MINE", placed)).status).toBe(200);
  const reading = clients[1].get("/orders/MINE", placed);
  expect((await clients[1].get("/orders/MINE")).status).toBe(404);
  await each((gateway) => gateway.handle(OrderPlaced, placedWith("MINE", 1)));
  expect((await reading).body).toMatchObject({ orderId: "MINE", status: "pending" });

  const { consistency: cancelled } = await clients[0].cancel("MINE");
  expect((await clients[0].get("/orders/MINE", cancelled)).body.status).toBe("pending");
  const listing = clients[1].get("/orders", cancelled);
  expect((await clients[1].get("/orders/MINE", placed)).body.status).toBe("pending");
  await gateways[1].handle(OrderCancelled, {
    ...{ orderId: orderIdOf(CUSTOMER, "MINE"), customerId: CUSTOMER, reason: "customer_request" },
  });
  expect((await listing).body).toMatchObject([{ orderId: "MINE", status: "cancelled" }]);
});

test("a token is of no use to another customer, and waits for some time only", async () => {
  const { consistency = "" } = await clients[0].place("MINE");
  const request = new Request("http://localhost/", { headers: { "consistency-token": consistency } });
  const { store } = gateways[0].parts;
  const wait = (customerId: string) =>
    untilConsistent({ request, customerId, orderOf: (orderId) => store.order(orderId), waitMs: 0 }).then(
      () => "shown",
      (error: unknown) => (error instanceof ServiceError ? error.code : error),
    );
  expect(await wait(CUSTOMER)).toBe("shown");
  expect(await wait("BOB")).toBe("not-consistent-yet");
  // A customer has no more than some requests wait.
  const waitLong = () =>
    untilConsistent({ request, customerId: "EVE", orderOf: () => undefined, waitMs: 300 }).catch(() => {});
  const first = Array.from({ length: 20 }, waitLong);
  let isOver = false;
  const more = waitLong().then(() => {
    isOver = true;
  });
  await Bun.sleep(0);
  expect(isOver).toBe(true);
  await Promise.all([...first, more]);
  expect(await wait(CUSTOMER)).toBe("shown");
});

test.each(["x", "a b", "cGxhY2Vk", "x".repeat(300)])("'%s' is no token", async (token) => {
  const { status, body } = await clients[0].get("/orders", token);
  expect([status, body.type]).toEqual([400, expect.stringContaining("malformed-token")]);
});
