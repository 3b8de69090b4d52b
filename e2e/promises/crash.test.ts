import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { processNames } from "@distributed-messaging/supervisor/store";
import type { Order } from "../support/answers.ts";
import type { Customer, OrderRequest } from "../support/customer.ts";
import { describeOwn, type OwnStore, useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

const ORDERS = 200;
const CLIENTS = 8;
const LIMIT_MS = 120_000;

/** Their stock does not suffice for all orders. */
const products = ["PRODUCT_006", "PRODUCT_009", "PRODUCT_011"] as const;

type NamedOrder = OrderRequest & { readonly orderId: string };

function order(index: number): NamedOrder {
  const pick = (offset: number) => products[(index + offset) % products.length] ?? products[0];
  const items = [{ productId: pick(0), quantity: 1 + (index % 3) }];
  if (index % 4 === 0) items.push({ productId: pick(1), quantity: 1 });
  return { orderId: `ORDER_${String(index).padStart(3, "0")}`, items };
}

/** Places orders, one at a time per customer, and calls back after each that was accepted. */
async function placeAll(
  customers: readonly Customer[],
  orders: readonly NamedOrder[],
  accepted: (count: number) => void,
): Promise<void> {
  const left = orders.values();
  let count = 0;
  const client = async (customer: Customer) => {
    for (const order of left) {
      await customer.placeWithRetries(order);
      accepted(++count);
    }
  };
  await Promise.all(customers.map(client));
}

async function expectStockToAddUp(store: OwnStore, confirmed: readonly Order[]): Promise<void> {
  for (const { productId, available } of await store.products()) {
    const lines = confirmed.flatMap(({ items }) => items.filter((line) => line.productId === productId));
    const reserved = lines.reduce((sum, { quantity }) => sum + quantity, 0);
    const stock = await store.stock(productId);
    expect({ productId, reserved: stock.reserved }).toEqual({ productId, reserved });
    expect({ productId, available: stock.available }).toEqual({ productId, available });
  }
}

describeOwn("kill -9 of each process in turn while 200 orders are placed", () => {
  const store = useOwnStore();

  test(
    "every accepted order is confirmed or waits, once",
    async () => {
      await store.seed();
      const customers = await Promise.all(
        Array.from({ length: CLIENTS }, (_, index) => store.signIn(`CUSTOMER_${index}`)),
      );
      const orders = Array.from({ length: ORDERS }, (_, index) => order(index));
      const share = Math.ceil(ORDERS / processNames.length);
      const kills: Promise<void>[] = [];
      for (const [turn, victim] of processNames.entries()) {
        // During each share, so that orders are in transit.
        await placeAll(customers, orders.slice(turn * share, (turn + 1) * share), (count) => {
          if (count === Math.floor(share / 4)) kills.push(store.process(victim).kill());
        });
      }
      await Promise.all(kills);
      expect(kills).toHaveLength(processNames.length);
      for (const name of processNames) await store.process(name).ready();

      const allOrders = async () =>
        (await Promise.all(customers.map((customer) => customer.allOrders()))).flat();
      await eventually(async () => {
        const left = (await allOrders()).filter(
          ({ status }) => !["confirmed", "backordered"].includes(status),
        );
        expect(left.map(({ orderId, status }) => `${orderId} ${status}`)).toEqual([]);
        return true;
      }, "every order to be decided");
      await untilIdle(store);

      // Read after that: the gateway may learn of a confirmation before it learns of the reservation, from another topic.
      const all = await allOrders();
      expect(all.map(({ orderId }) => orderId).sort()).toEqual(orders.map(({ orderId }) => orderId));
      const confirmed = all.filter(({ status }) => status === "confirmed");
      expect(confirmed.length).toBeGreaterThan(0);
      expect(confirmed.length).toBeLessThan(ORDERS);
      await expectStockToAddUp(store, confirmed);
      await expectNotifiedOnce(customers, all);
      for (const name of processNames)
        expect({ name, restarts: store.process(name).restarts }).toEqual({ name, restarts: 1 });
      for (const name of serviceNames) expect(await store.metric(name, "dead_letters")).toBe(0);
    },
    LIMIT_MS,
  );
});

/** Each order has one notification for each event of its history, and no event twice. */
async function expectNotifiedOnce(customers: readonly Customer[], orders: readonly Order[]): Promise<void> {
  const notifications = (await Promise.all(customers.map((customer) => customer.notifications()))).flat();
  const notified = notifications.map(({ orderId, type }) => `${orderId} ${type}`);
  const expected = orders.flatMap(({ orderId, status }) => [
    `${orderId} order.received`,
    `${orderId} ${status === "confirmed" ? "order.confirmed" : "order.waiting"}`,
  ]);
  expect(notified.sort()).toEqual(expected.sort());
  for (const { orderId, status, history } of orders) {
    const stock = status === "confirmed" ? "store.stock.reserved.v1" : "store.stock.short.v1";
    const types = history.map(({ type }) => type);
    // A shortage that changes is another event.
    expect({ orderId, types: status === "confirmed" ? types : [...new Set(types)] }).toEqual({
      orderId,
      types: ["store.order.place.v1", "store.order.placed.v1", stock, `store.order.${status}.v1`],
    });
  }
}
