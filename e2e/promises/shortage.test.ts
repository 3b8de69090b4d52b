import { expect, test } from "bun:test";
import { StockChanged } from "@distributed-messaging/contracts";
import { decode } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { parse } from "../support/answers.ts";
import { useStore } from "../support/own-store.ts";

const PRODUCT = "PRODUCT_011";
const ON_HAND = 60;
const ORDERS = 100;
const LIMIT_MS = 60_000;

const store = useStore();

/** The available stock in every StockChanged of a product, in order. */
async function stockHistory(productId: string): Promise<number[]> {
  const known = new Map([[StockChanged.type, StockChanged]]);
  const records = await store.records.read("inventory.stock");
  return records
    .filter(({ key }) => String(key) === productId)
    .flatMap((record) => {
      const decoded = decode(known, { ...record, key: productId, headers: {} });
      return decoded.status === "decoded" ? [parse(StockChanged.data, decoded.message.data).available] : [];
    });
}

test(
  "a hundred orders at once for a stock of sixty: sixty are confirmed, forty wait",
  async () => {
    await store.seed();
    const changesBefore = (await stockHistory(PRODUCT)).length;
    const customers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => store.signIn(`CUSTOMER_${index}`)),
    );
    const placed = await Promise.all(
      Array.from({ length: ORDERS }, async (_, index) => {
        const customer = customers[index % customers.length];
        const { orderId } = (await customer?.place({ items: [{ productId: PRODUCT, quantity: 1 }] })) ?? {};
        return orderId ?? "";
      }),
    );
    expect(new Set(placed).size).toBe(ORDERS);

    const orders = await eventually(async () => {
      const all = (await Promise.all(customers.map((customer) => customer.allOrders()))).flat();
      const left = all.filter(({ status }) => status === "accepted" || status === "pending");
      expect(left.map(({ orderId, status }) => `${orderId} ${status}`)).toEqual([]);
      return all;
    }, "every order to be decided");
    expect(orders.map(({ orderId }) => orderId).sort()).toEqual(placed.sort());
    const waiting = orders.filter(({ status }) => status === "backordered");
    expect(orders.filter(({ status }) => status === "confirmed")).toHaveLength(ON_HAND);
    expect(waiting).toHaveLength(ORDERS - ON_HAND);
    for (const { shortages } of waiting) expect(shortages).toEqual([{ productId: PRODUCT, missing: 1 }]);
    expect(await store.stock(PRODUCT)).toMatchObject({ onHand: ON_HAND, reserved: ON_HAND, available: 0 });

    // Of what commits together, only the last state is published.
    const published = (await stockHistory(PRODUCT)).slice(changesBefore);
    expect(published).toEqual([...new Set(published)].sort((one, other) => other - one));
    expect(published[0]).toBeLessThan(ON_HAND);
    expect(published.at(-1)).toBe(0);
    await eventually(async () => {
      const product = (await store.products()).find(({ productId }) => productId === PRODUCT);
      return product?.available === 0;
    }, "the gateway to have no stock left");
    for (const customer of customers) {
      await eventually(async () => {
        const byOrder = Map.groupBy(await customer.notifications(), ({ orderId }) => orderId);
        const types = (orderId: string) => byOrder.get(orderId)?.map(({ type }) => type);
        for (const { orderId, status } of await customer.allOrders()) {
          const outcome = status === "confirmed" ? "order.confirmed" : "order.waiting";
          expect(types(orderId)).toEqual(["order.received", outcome]);
        }
        return true;
      }, `the notifications of ${customer.id}`);
    }
  },
  LIMIT_MS,
);

test(
  "an order with a shortage in one line reserves nothing for its other lines",
  async () => {
    await store.seed();
    const customer = await store.signIn("CUSTOMER_short");
    const items = [
      { productId: "PRODUCT_001", quantity: 1 },
      { productId: "PRODUCT_012", quantity: 3 },
      { productId: "PRODUCT_004", quantity: 7 },
    ];
    const { orderId } = await customer.place({ items });
    const { shortages } = await customer.until(orderId, "backordered");
    expect(shortages).toEqual([
      { productId: "PRODUCT_012", missing: 3 },
      { productId: "PRODUCT_004", missing: 2 },
    ]);
    for (const { productId } of items) expect((await store.stock(productId)).reserved).toBe(0);
  },
  LIMIT_MS,
);

test(
  "an order for ten thousand pieces of every product takes nothing out of sale",
  async () => {
    const products = await store.seed();
    const [mallory, bob] = await Promise.all([store.signIn("MALLORY"), store.signIn("BOB")]);
    const everything = products.map(({ productId }) => ({ productId, quantity: 10_000 }));
    const { orderId: held } = await mallory.place({ items: everything });
    await mallory.until(held, "backordered");
    const inStock = products.filter(({ available }) => available > 0);
    expect(inStock.length).toBeGreaterThan(0);
    for (const { productId } of inStock) {
      const { orderId } = await bob.place({ items: [{ productId, quantity: 1 }] });
      await bob.until(orderId, "confirmed", "backordered");
      expect(await bob.order(orderId)).toMatchObject({ status: "confirmed" });
    }
    expect(await mallory.order(held)).toMatchObject({ status: "backordered" });
  },
  LIMIT_MS,
);
