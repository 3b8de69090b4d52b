import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  CancelOrder,
  MAX_STOCK,
  OrderCancelled,
  OrderConfirmed,
  OrderPlaced,
  orderIdOf,
  PlaceOrder,
  Restock,
  StockChanged,
} from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { rawRequest } from "@distributed-messaging/service/testing/raw-request";
import { type Client, type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

let gateway: GatewayFixture;
let ann: Client;
let bob: Client;
let admin: Client;

const cup: DataOf<typeof StockChanged> = {
  productId: "CUP",
  name: "Cup",
  price: { amount: 1000, currency: "EUR" },
  available: 5,
  version: 10,
};

async function stockIs(change: Partial<typeof cup>): Promise<void> {
  await gateway.publish(StockChanged, { ...cup, ...change });
}

async function catalogueHas(change: Partial<typeof cup>): Promise<void> {
  const { version: _, ...shown } = { ...cup, ...change };
  await eventually(() => Bun.deepEquals(gateway.parts.store.product("CUP"), shown));
}

beforeEach(async () => {
  gateway = await startGatewayFixture();
  [ann, bob, admin] = [
    await signIn(gateway, "ANN"),
    await signIn(gateway, "BOB"),
    await signIn(gateway, "ADMIN", "admin"),
  ];
  await stockIs({});
  await catalogueHas({});
});
afterEach(() => gateway[Symbol.asyncDispose]());

const idsOf = (name: string) => ({ orderId: orderIdOf("ANN", name), customerId: "ANN" });
const confirm = (name: string) => gateway.publish(OrderConfirmed, idsOf(name));
const orderCancelled = (name: string, reason: DataOf<typeof OrderCancelled>["reason"]) =>
  gateway.publish(OrderCancelled, { ...idsOf(name), reason });

async function statusIs(name: string, status: string): Promise<void> {
  await eventually(() => gateway.parts.store.orderNamed("ANN", name)?.status === status);
}

describe("POST /orders/:orderId/cancel", () => {
  test("is forwarded, and answered with the order's status", async () => {
    await ann.place("X");
    expect(await ann.cancel("X")).toMatchObject({
      status: 202,
      body: { orderId: "X", status: "accepted" },
      replayed: false,
    });
    const { body } = await ann.get("/orders/X");
    expect(body).toMatchObject({ status: "accepted" });
    expect((body.history as { type: string }[]).map(({ type }) => type)).toEqual([
      PlaceOrder.type,
      CancelOrder.type,
    ]);
  });

  test("again, while the command is on its way, is the same request", async () => {
    await ann.place("X");
    const answers = await Promise.all([ann.cancel("X"), ann.cancel("X"), ann.cancel("X")]);
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    await gateway.restart();
    expect(await ann.cancel("X")).toMatchObject({ status: 202, replayed: true });
    expect(gateway.emitted(CancelOrder).length).toBe(1);
  });

  test("of an order that is final is a conflict; of a confirmed one it is not", async () => {
    await ann.place("X");
    await confirm("X");
    await statusIs("X", "confirmed");
    expect(await ann.cancel("X")).toMatchObject({ status: 202, body: { status: "confirmed" } });
    await orderCancelled("X", "customer_request");
    await statusIs("X", "cancelled");
    expect(await ann.cancel("X")).toMatchObject({
      status: 409,
      body: { type: "urn:problem-type:order-final", detail: "Order X is cancelled already." },
    });
    expect(gateway.emitted(CancelOrder).length).toBe(1);
  });

  test("with the key of an accepted request is that request, whatever the order's status is now", async () => {
    await ann.place("X");
    const first = await ann.cancel("X", "key-1");
    await orderCancelled("X", "customer_request");
    await statusIs("X", "cancelled");
    expect(await ann.cancel("X", "key-1")).toEqual({ ...first, replayed: true });
    expect((await ann.cancel("X", "key-2")).status).toBe(409);
    await ann.place("Y");
    expect(await ann.cancel("Y", "key-1")).toMatchObject({
      status: 422,
      body: { type: "urn:problem-type:key-conflict" },
    });
  });

  test("of another customer's order, or of none, is not found", async () => {
    await ann.place("X");
    for (const answer of [await bob.cancel("X"), await ann.cancel("Y")]) expect(answer.status).toBe(404);
    expect((await ann.cancel("no good id!")).status).toBe(422);
    expect(gateway.emitted(CancelOrder).length).toBe(0);
  });

  test("takes no body but an empty one: an unknown field is refused", async () => {
    await ann.place("X");
    const refused = await ann.post("/orders/X/cancel", { reason: "too dear" });
    expect(refused).toMatchObject({ status: 422, body: { errors: [{ path: "/reason" }] } });
    expect(gateway.emitted(CancelOrder).length).toBe(0);
    expect((await ann.post("/orders/X/cancel", {})).status).toBe(202);
    expect((await ann.cancel("X")).status).toBe(202);
  });

  test("is shown with the reason once it is decided", async () => {
    await ann.place("X");
    await orderCancelled("X", "backorder_expired");
    await statusIs("X", "cancelled");
    expect((await ann.get("/orders/X")).body).toMatchObject({
      status: "cancelled",
      reason: "backorder_expired",
    });
  });
});

describe("POST /products/:productId/restock", () => {
  test("is forwarded to the inventory", async () => {
    const { status, body } = await admin.restock(7);
    expect({ status, body }).toEqual({
      status: 202,
      body: { restockId: expect.any(String), productId: "CUP", quantity: 7 },
    });
    expect(gateway.emitted(Restock).length).toBe(1);
  });

  test("is for admins", async () => {
    expect((await ann.restock(1)).status).toBe(403);
    expect(gateway.emitted(Restock).length).toBe(0);
  });

  test("of what is not sold is not found, and an impossible quantity is invalid", async () => {
    expect((await admin.restock(1, undefined, "PLATE")).status).toBe(404);
    for (const quantity of [0, -1, 1.5, 10_001]) expect((await admin.restock(quantity)).status).toBe(422);
    expect((await admin.post("/products/CUP/restock", { quantity: 1, more: 1 })).status).toBe(422);
    expect((await admin.restock(10_000)).status).toBe(202);
  });

  test("of more than can be on hand is refused, to the exact unit", async () => {
    await stockIs({ available: MAX_STOCK - 3, version: 11 });
    await catalogueHas({ available: MAX_STOCK - 3 });
    expect((await admin.restock(3)).status).toBe(202);
    const refused = await admin.restock(4);
    expect(refused.status).toBe(422);
    expect(refused.body.errors).toEqual([
      { path: "/quantity", message: `would make it more than ${MAX_STOCK}` },
    ]);
  });

  test("with the same key takes effect once, also concurrently and after a restart; with other content it is refused", async () => {
    const answers = await Promise.all([admin.restock(7, "key-1"), admin.restock(7, "key-1")]);
    await gateway.restart();
    answers.push(await admin.restock(7, "key-1"));
    expect(new Set(answers.map(({ body }) => body.restockId)).size).toBe(1);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect((await admin.restock(8, "key-1")).status).toBe(422);
    expect(gateway.emitted(Restock).length).toBe(1);
    // Without a key, each request is a new one.
    await admin.restock(7);
    await admin.restock(7);
    expect(gateway.emitted(Restock).length).toBe(3);
  });
});

describe("the same order again", () => {
  test("while the broker is down, concurrently, and after a restart: one order", async () => {
    gateway.isBrokerDown = true;
    const answers = await Promise.all(Array.from({ length: 20 }, () => ann.place("X", 2, "key-1")));
    await gateway.restart();
    answers.push(await ann.place("X", 2, "key-1"), await ann.place("X", 2), await ann.place("X", 2, "key-2"));
    for (const { status, body } of answers) {
      expect({ status, body }).toEqual({ status: 202, body: { orderId: "X", status: "accepted" } });
    }
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(gateway.emitted(PlaceOrder).length).toBe(1);
    gateway.isBrokerDown = false;
    await eventually(() => gateway.broker.records("order.commands").length === 1);
  });

  test("a key belongs to one request: with another order, a cancellation or a restock it is refused", async () => {
    await admin.place("X", 1, "key-1");
    expect((await admin.place("X", 2, "key-1")).status).toBe(422);
    expect((await admin.place("Y", 1, "key-1")).status).toBe(422);
    expect((await admin.cancel("X", "key-1")).status).toBe(422);
    expect((await admin.restock(1, "key-1")).status).toBe(422);
    // Each customer has keys of their own.
    expect((await ann.place("Y", 1, "key-1")).status).toBe(202);
  });

  test("from another customer is another order: no name is taken, and nothing tells who uses it", async () => {
    const place = (client: Client, name: string, quantity: number) => client.place(name, quantity);
    await ann.place("X");
    expect((await bob.get("/orders/X")).status).toBe(404);
    expect((await bob.cancel("X")).status).toBe(404);
    // The answer is that to a name that nobody uses.
    const answers = [await place(bob, "X", 2), await place(bob, "Y", 2)];
    expect(answers.map(({ status, replayed }) => ({ status, replayed }))).toEqual([
      { status: 202, replayed: false },
      { status: 202, replayed: false },
    ]);
    expect((await bob.get("/orders/X")).body).toMatchObject({ orderId: "X", customerId: "BOB" });
    expect((await ann.get("/orders/X")).body).toMatchObject({ orderId: "X", customerId: "ANN" });
    const sent = gateway.emitted(PlaceOrder).map(({ subject, data }) => [subject, data.customerId]);
    expect(sent.slice(0, 2)).toEqual([
      [orderIdOf("ANN", "X"), "ANN"],
      [orderIdOf("BOB", "X"), "BOB"],
    ]);
    // The id under which it travels is nobody else's name for it.
    expect((await bob.get(`/orders/${orderIdOf("ANN", "X")}`)).status).toBe(404);
    expect((await bob.cancel(orderIdOf("ANN", "X"))).status).toBe(404);
  });

  test("with the longest name, which its id does not hold: it is placed once, found and cancelled by it", async () => {
    const name = "x".repeat(64);
    expect(await ann.place(name)).toMatchObject({ status: 202, body: { orderId: name }, replayed: false });
    expect(await ann.place(name)).toMatchObject({ status: 202, body: { orderId: name }, replayed: true });
    expect((await ann.get(`/orders/${name}`)).body).toMatchObject({ orderId: name });
    // The list shows its id, by which it is found, too.
    const [listed] = (await ann.get("/orders")).body as unknown as { orderId: string }[];
    expect(listed?.orderId).toBe(orderIdOf("ANN", name));
    expect((await ann.get(`/orders/${listed?.orderId}`)).status).toBe(200);
    expect((await ann.cancel(name)).body).toMatchObject({ orderId: name });
  });

  test("that was placed when ids were names is still the same order, and nobody else's", async () => {
    const items = [{ productId: "CUP", quantity: 1, unitPrice: cup.price }];
    await gateway.publish(OrderPlaced, { orderId: "OLD", customerId: "ANN", items, total: cup.price });
    await statusIs("OLD", "pending");
    expect(await ann.place("OLD")).toMatchObject({ status: 202, replayed: true });
    expect((await ann.place("OLD", 2)).status).toBe(422);
    expect((await ann.cancel("OLD")).status).toBe(202);
    expect(gateway.emitted(CancelOrder).map(({ subject }) => subject)).toEqual(["OLD"]);
    expect((await ann.get("/orders")).body).toMatchObject([{ orderId: "OLD" }]);
    expect(await bob.place("OLD")).toMatchObject({ status: 202, replayed: false });
  });

  test("keeps its price, though the catalogue has another one now", async () => {
    await ann.place("X", 3);
    await stockIs({ price: { amount: 1, currency: "EUR" }, version: 11 });
    await catalogueHas({ price: { amount: 1, currency: "EUR" } });
    expect(await ann.place("X", 3)).toMatchObject({ status: 202, replayed: true });
    expect((await ann.get("/orders/X")).body).toMatchObject({ total: { amount: 3000, currency: "EUR" } });
    await ann.place("Y", 3);
    expect((await ann.get("/orders/Y")).body).toMatchObject({ total: { amount: 3, currency: "EUR" } });
  });
});

describe("pipelined requests", () => {
  const bytesOf = (orderId: string, header = "") => {
    const body = JSON.stringify({ orderId, items: [{ productId: "CUP", quantity: 1 }] });
    return [
      "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
      `Authorization: Bearer ${ann.token}\r\n${header}Content-Length: ${body.length}\r\n\r\n${body}`,
    ].join("");
  };
  const send = (bytes: string) => rawRequest(Number(new URL(gateway.url).port), bytes);
  const placed = async () => {
    await ann.place("LAST");
    const { body } = await ann.get("/orders");
    return Object.values(body).map((order) => (order as { orderId: string }).orderId);
  };

  test("are refused by closing the connection, and none is carried out", async () => {
    expect(await send(["A", "B", "C"].map((orderId) => bytesOf(orderId)).join(""))).toBe("");
    expect(await placed()).toEqual(["LAST"]);
  });

  test("after one that closes the connection are not read: that one is answered", async () => {
    const answer = await send(bytesOf("A", "Connection: close\r\n") + bytesOf("B"));
    expect(answer.match(/^HTTP\/1.1 \d+/gm)).toEqual(["HTTP/1.1 202"]);
    expect(await placed()).toEqual(["LAST", "A"]);
  });
});

test("orders are listed newest first, page by page, each customer's own", async () => {
  for (let number = 1; number <= 7; number += 1) await ann.place(`A${number}`);
  await bob.place("B1");
  const pages: string[][] = [];
  for (let after = ""; ; ) {
    const { body } = await ann.get(`/orders?limit=3${after}`);
    const ids = (body as unknown as { orderId: string }[]).map(({ orderId }) => orderId);
    if (ids.length === 0) break;
    pages.push(ids);
    after = `&after=${ids.at(-1)}`;
  }
  expect(pages).toEqual([["A7", "A6", "A5"], ["A4", "A3", "A2"], ["A1"]]);
  expect((await ann.get("/orders?after=B1")).body).toEqual([] as never);
});

test("an order that this gateway never accepted is known once OrderPlaced has arrived", async () => {
  const items = [{ productId: "CUP", quantity: 1, unitPrice: cup.price }];
  const data = { customerId: "ANN", items, total: cup.price };
  await confirm("FOREIGN");
  await eventually(() => gateway.running.messaging.deadLetters.count() === 1);
  const at = Date.now() - 60_000;
  await gateway.publish(OrderPlaced, { ...data, ...idsOf("OTHER") }, { at });
  await confirm("OTHER");
  await statusIs("OTHER", "confirmed");
  expect((await ann.get("/orders/OTHER")).body).toMatchObject({ placedAt: new Date(at).toISOString() });
});
