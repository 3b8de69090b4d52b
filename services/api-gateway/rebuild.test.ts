import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  OrderBackordered,
  OrderConfirmed,
  OrderPlaced,
  orderIdOf,
  ProductWithdrawn,
  StockChanged,
  StockReserved,
  StockShort,
} from "@distributed-messaging/contracts";
import type { DataOf } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type Client, type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

const price = { amount: 1000, currency: "EUR" };
const ORDERS = 40;

let gateway: GatewayFixture;
let ann: Client;
let admin: Client;

beforeEach(async () => {
  gateway = await startGatewayFixture();
  ann = await signIn(gateway, "ANN");
  admin = await signIn(gateway, "ADMIN", "admin");
  for (let version = 1; version <= 20; version += 1) {
    const product = { productId: "CUP", name: "Cup", price, available: 100 - version, version };
    await gateway.publish(StockChanged, product);
  }
  await gateway.publish(ProductWithdrawn, { productId: "OLD", version: 5 });
  await eventually(() => gateway.parts.store.product("CUP")?.available === 80);
  for (let number = 1; number <= ORDERS; number += 1) await confirmed(`X${number}`, number % 2 === 0);
  await ann.place("ACCEPTED", 1, "key-1");
  await ann.cancel("X1");
  await eventually(() => gateway.parts.store.orderNamed("ANN", `X${ORDERS}`)?.status === "confirmed");
});
afterEach(() => gateway[Symbol.asyncDispose]());

/** Publishes the messages of an order that waits and is confirmed. Some orders this gateway has not accepted. */
async function confirmed(name: string, isForeign: boolean): Promise<void> {
  if (!isForeign) await ann.place(name, 2);
  const orderId = orderIdOf("ANN", name);
  const ids = { orderId, customerId: "ANN" };
  const items = [{ productId: "CUP", quantity: 2, unitPrice: price }];
  const placed: DataOf<typeof OrderPlaced> = { ...ids, items, total: { ...price, amount: 2000 } };
  const shortages = [{ productId: "CUP", missing: 1 }];
  const cause = await gateway.publish(OrderPlaced, placed);
  const short = await gateway.publish(StockShort, { orderId, shortages, revision: 1 }, { cause });
  await gateway.publish(OrderBackordered, { ...ids, shortages, revision: 1 }, { cause: short });
  const lines = [{ productId: "CUP", quantity: 2 }];
  const reserved = await gateway.publish(StockReserved, { orderId, lines });
  await gateway.publish(OrderConfirmed, ids, { cause: reserved });
}

/** Everything that the gateway answers from its projections. */
async function content() {
  const orders = (await ann.get("/orders?limit=100")).body;
  return { orders, products: (await ann.get("/products")).body };
}

async function rebuilt(dropUnaccounted = false): Promise<Record<string, unknown>> {
  expect((await admin.post("/rebuild", { dropUnaccounted })).status).toBe(202);
  await eventually(() => ["done", "failed"].includes(gateway.rebuild.status().phase));
  return (await admin.get("/rebuild")).body;
}

describe("the gateway's projections are rebuilt", () => {
  test("with the same content, while they are read", async () => {
    const before = await content();
    let isOver = false;
    const reading = (async () => {
      let reads = 0;
      while (!isOver) {
        expect(await content()).toEqual(before);
        reads += 1;
      }
      return reads;
    })();
    expect(await rebuilt()).toMatchObject({ phase: "done", skipped: 0, unaccounted: 0 });
    isOver = true;
    expect(await reading).toBeGreaterThan(1);
    expect(await content()).toEqual(before);
  });

  test("with the rows that were lost, and without rows that no message accounts for", async () => {
    const before = await content();
    const { sql } = gateway.database;
    sql.run("DELETE FROM order_steps WHERE generation IS NOT NULL AND (order_seq + type) % 3 = 0");
    sql.run(
      "UPDATE order_steps SET type = 5, reason = 'wrong' WHERE (order_seq + type) % 3 = 1 AND generation IS NOT NULL",
    );
    sql.run("DELETE FROM orders WHERE order_id = ?", [orderIdOf("ANN", "X2")]);
    sql.run("UPDATE orders SET total = 1, items = '[]' WHERE generation IS NOT NULL");
    sql.run("UPDATE products SET available = 7, name = 'wrong'");
    sql.run(
      `INSERT INTO order_steps (order_seq, message_id, cause_id, at, type, reason, generation)
       SELECT seq, 'phantom', 'none', 0, 6, 'customer_request', 1 FROM orders WHERE order_id = ?`,
      [orderIdOf("ANN", "X3")],
    );
    expect(await content()).not.toEqual(before);
    expect(await rebuilt(true)).toMatchObject({ phase: "done", unaccounted: 1 });
    const after = await content();
    // An order whose row was lost has another position in the list.
    const byId = ({ orders }: typeof before) =>
      (orders as unknown as { orderId: string }[]).toSorted((one, other) =>
        one.orderId.localeCompare(other.orderId),
      );
    expect(byId(after)).toEqual(byId(before));
    expect(after.products).toEqual(before.products);
  });

  test("from the stored position, when the process is restarted during the rebuild", async () => {
    const before = await content();
    await admin.post("/rebuild");
    await gateway.restart();
    await eventually(() => gateway.rebuild.status().phase === "done");
    expect(gateway.rebuild.status()).toMatchObject({ unaccounted: 0 });
    expect(await content()).toEqual(before);
  });

  test("and what no topic holds stays: keys, own commands, orders not yet taken by the order service, tokens", async () => {
    await rebuilt(true);
    expect(await ann.place("ACCEPTED", 1, "key-1")).toMatchObject({ status: 202, replayed: true });
    expect((await ann.place("ACCEPTED", 2, "key-1")).status).toBe(422);
    expect((await ann.get("/orders/ACCEPTED")).body).toMatchObject({ status: "accepted" });
    expect(await ann.cancel("X1")).toMatchObject({ status: 202, replayed: true });
  });
});

test("only an admin starts a rebuild", async () => {
  expect((await ann.post("/rebuild")).status).toBe(403);
  expect((await ann.get("/rebuild")).status).toBe(403);
  expect((await admin.post("/rebuild", { dropEverything: true })).status).toBe(422);
  expect((await admin.get("/rebuild")).body).toMatchObject({ phase: "none" });
});
