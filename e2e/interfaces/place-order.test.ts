import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Accepted, problemIn, read } from "../support/answers.ts";
import type { OrderRequest } from "../support/customer.ts";
import { demoOrders } from "../support/customer.ts";
import { useStore } from "../support/own-store.ts";

const store = useStore();
const order1 = { ...demoOrders.ORDER_001, orderId: store.id("ORDER_001") };
const order2 = { ...demoOrders.ORDER_002, orderId: store.id("ORDER_002") };

describe("the demo orders", () => {
  test("ORDER_001 five times and ORDER_002 once: each takes effect once", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const listener = customer.listen();
    const answers = [];
    for (let time = 1; time <= 5; time++) answers.push(await customer.tryToPlace(order1));
    answers.push(await customer.tryToPlace(order2));

    expect(answers.map((answer) => read(Accepted, answer, 202).orderId)).toEqual([
      ...Array<string>(5).fill(order1.orderId),
      order2.orderId,
    ]);
    const replayed = answers.map(({ headers }) => headers.get("idempotent-replayed"));
    expect(replayed).toEqual([null, "true", "true", "true", "true", null]);
    expect(answers[0]?.headers.get("location")).toBe(`/orders/${order1.orderId}`);

    const [first, second] = [
      await customer.until(order1.orderId, "confirmed"),
      await customer.until(order2.orderId, "confirmed"),
    ];
    expect(first.total).toEqual({ amount: 4000, currency: "EUR" });
    expect(second.total).toEqual({ amount: 2000, currency: "EUR" });
    await eventually(async () => {
      const { history } = await customer.order(order1.orderId);
      expect(history.map(({ type, service }) => `${service}: ${type}`)).toEqual([
        "api-gateway: store.order.place.v1",
        "order: store.order.placed.v1",
        "inventory: store.stock.reserved.v1",
        "order: store.order.confirmed.v1",
      ]);
      return true;
    }, "the history of every service");
    expect(await store.stock("PRODUCT_001")).toMatchObject({ onHand: 10, reserved: 5, available: 5 });
    expect(await store.stock("PRODUCT_002")).toMatchObject({ onHand: 15, reserved: 2, available: 13 });

    await listener.until(4);
    for (const { orderId } of [order1, order2]) {
      expect(await customer.notificationTypes(orderId)).toEqual(["order.received", "order.confirmed"]);
    }
    expect(listener.received).toEqual(await customer.notifications());
    await listener.terminate();
  });

  test("seeding again changes nothing", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 4 }] });
    await customer.until(orderId, "confirmed");
    const again = await store.request("inventory", "/automation-testing/seed", { method: "POST" });
    expect(again.status).toBe(200);
    expect(await store.stock("PRODUCT_001")).toMatchObject({ onHand: 10, reserved: 4, available: 6 });
  });

  test("the gateway's stock follows the inventory's", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_003", quantity: 8 }] });
    await customer.until(orderId, "confirmed");
    await eventually(async () => {
      const products = await store.products();
      return products.find(({ productId }) => productId === "PRODUCT_003")?.available === 0;
    }, "the gateway to show the moka pots as sold out");
  });
});

describe("the same request again", () => {
  const items = [{ productId: "PRODUCT_006", quantity: 1 }];

  test("with the lines in another order is the same order", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const two = [...items, { productId: "PRODUCT_009", quantity: 2 }];
    const { orderId } = await customer.place({ items: two });
    const again = await customer.tryToPlace({ orderId, items: two.toReversed() });
    expect(again.status).toBe(202);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    // The next test reads the stock of the same product.
    await customer.until(orderId, "confirmed");
  });

  test("with the same orderId and other content is refused and changes nothing", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const stranger = await store.signIn("CUSTOMER_002");
    const { orderId } = await customer.place({ items });
    const answer = await customer.tryToPlace({ orderId, items: [{ productId: "PRODUCT_006", quantity: 2 }] });
    expect(answer.status).toBe(422);
    expect(problemIn(answer).errors).toEqual([{ path: "/orderId", message: "is taken" }]);
    const order = await customer.until(orderId, "confirmed");
    expect(order.items.map(({ quantity }) => quantity)).toEqual([1]);
    expect(await store.stock("PRODUCT_006")).toMatchObject({ reserved: 1 });
    expect((await stranger.askForOrder(orderId)).status).toBe(404);
  });

  test("with the same orderId by two customers is two orders, each under its customer's own name", async () => {
    await store.seed();
    const orderId = store.id("ORDER_SHARED");
    const customers = [await store.signIn("CUSTOMER_001"), await store.signIn("CUSTOMER_002")];
    for (const [index, customer] of customers.entries()) {
      const lines = [{ productId: "PRODUCT_006", quantity: index + 1 }];
      expect(read(Accepted, await customer.tryToPlace({ orderId, items: lines }), 202).orderId).toBe(orderId);
    }
    for (const [index, customer] of customers.entries()) {
      const { items: lines, customerId } = await customer.until(orderId, "confirmed");
      expect({ customerId, quantity: lines[0]?.quantity }).toEqual({
        customerId: customer.id,
        quantity: index + 1,
      });
      const types = ["order.received", "order.confirmed"];
      await eventually(
        async () => Bun.deepEquals(await customer.notificationTypes(orderId), types),
        "the customer's own notifications",
      );
    }
    expect(await store.stock("PRODUCT_006")).toMatchObject({ reserved: 3 });
  });

  test("with the same Idempotency-Key is the same order, and is refused with other content", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const stranger = await store.signIn("CUSTOMER_002");
    const key = { "idempotency-key": crypto.randomUUID() };
    const place = (order: OrderRequest) => customer.tryToPlace(order, key);
    const { orderId } = read(Accepted, await place({ items }), 202);
    const again = await place({ items });
    expect(read(Accepted, again, 202).orderId).toBe(orderId);
    expect(again.headers.get("idempotent-replayed")).toBe("true");

    expect((await place({ items: [{ productId: "PRODUCT_006", quantity: 3 }] })).status).toBe(422);
    expect((await place({ orderId: `${orderId}-b`, items })).status).toBe(422);
    // Each customer has keys of their own.
    const theirs = read(Accepted, await stranger.tryToPlace({ items }, key), 202);
    expect(theirs.orderId).not.toBe(orderId);

    await customer.until(orderId, "confirmed");
    await stranger.until(theirs.orderId, "confirmed");
    expect(await store.stock("PRODUCT_006")).toMatchObject({ reserved: 2 });
  });

  test("fifty times at once is one order", async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_001");
    const order = { orderId: store.id("ORDER_RACE"), items };
    const answers = await Promise.all(Array.from({ length: 50 }, () => customer.tryToPlace(order)));
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(202));
    expect(answers.filter(({ headers }) => headers.get("idempotent-replayed") !== "true")).toHaveLength(1);
    await customer.until(order.orderId, "confirmed");
    expect(await store.stock("PRODUCT_006")).toMatchObject({ reserved: 1 });
  });
});

test("a customer's orders are listed newest first, in pages", async () => {
  await store.seed();
  const customer = await store.signIn(`CUSTOMER_${crypto.randomUUID()}`);
  const placed: string[] = [];
  for (let count = 0; count < 25; count++) {
    placed.unshift((await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] })).orderId);
  }
  const pages: string[][] = [];
  for (let after = ""; ; after = `&after=${pages.at(-1)?.at(-1)}`) {
    const page = await customer.orders(`?limit=10${after}`);
    if (page.length === 0) break;
    pages.push(page.map(({ orderId }) => orderId));
  }
  expect(pages.map((page) => page.length)).toEqual([10, 10, 5]);
  expect(pages.flat()).toEqual(placed);
  expect(await customer.orders(), "the default page size").toHaveLength(20);
});
