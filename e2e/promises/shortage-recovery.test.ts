import { expect, test } from "bun:test";
import { orderIdOf, StockReserved } from "@distributed-messaging/contracts";
import { decode } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Customer } from "../support/customer.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";
import { untilIdle } from "../support/state.ts";

const PRODUCT = "PRODUCT_009";
const ORDERS = 50;
const ON_HAND = 30;
const LIMIT_MS = 120_000;

const RESTOCKS: readonly (readonly [string, readonly number[]])[] = [
  ["in two steps", [7, 13]],
  ["in one step", [20]],
];

describeOwn.each(RESTOCKS.slice(0, runsSlowTests ? 2 : 1))(
  "fifty orders for a stock of thirty, placed while the inventory is down, and a restock of twenty %s",
  (_, restocks) => {
    const store = useOwnStore();

    test(
      "thirty are confirmed and twenty wait; restocks confirm those in order of arrival, until none waits",
      async () => {
        await store.seed();
        const admin = await store.signIn("ADMIN_001", "admin");
        const customers = await Promise.all(
          Array.from({ length: 5 }, (_, index) => store.signIn(`CUSTOMER_${index}`)),
        );
        expect((await admin.restock(PRODUCT, ON_HAND - 20)).status).toBe(202);
        await eventually(async () => (await store.stock(PRODUCT)).onHand === ON_HAND, "a stock of thirty");
        await store.process("inventory").stop();

        for (let number = 0; number < ORDERS; number += 1) {
          const orderId = `ORDER_${String(number).padStart(3, "0")}`;
          await customers[number % 5]?.place({ orderId, items: [{ productId: PRODUCT, quantity: 1 }] });
        }
        await eventually(async () => {
          return (await store.metric("order", "orders_pending")) === ORDERS;
        }, "every order to be pending");

        await store.process("inventory").start();
        await untilIdle(store);
        expect(await countsOf(customers)).toEqual({ confirmed: ON_HAND, backordered: ORDERS - ON_HAND });
        expect(await store.metric("inventory", "orders_waiting")).toBe(ORDERS - ON_HAND);
        expect(await store.stock(PRODUCT)).toMatchObject({ onHand: 30, reserved: 30, available: 0 });
        const queue = store
          .rows<{ id: string }>(
            "inventory",
            "SELECT order_id AS id FROM reservations WHERE status = 'waiting' ORDER BY arrival",
          )
          .map(({ id }) => id);
        expect(queue).toHaveLength(ORDERS - ON_HAND);

        let served = 0;
        for (const quantity of restocks) {
          expect((await admin.restock(PRODUCT, quantity)).status).toBe(202);
          served += quantity;
          await untilIdle(store);
          expect(await countsOf(customers)).toMatchObject({ confirmed: ON_HAND + served });
          expect((await reservedOrders(store)).slice(ON_HAND)).toEqual(queue.slice(0, served));
        }
        expect(await countsOf(customers)).toEqual({ confirmed: ORDERS });
        expect(await store.stock(PRODUCT)).toMatchObject({ onHand: 50, reserved: 50, available: 0 });
        for (const customer of customers) {
          for (const { orderId } of await customer.allOrders()) {
            const waited = queue.includes(orderIdOf(customer.id, orderId)) ? ["order.waiting"] : [];
            expect(await customer.notificationTypes(orderId)).toEqual([
              "order.received",
              ...waited,
              "order.confirmed",
            ]);
          }
        }
      },
      LIMIT_MS,
    );
  },
);

async function countsOf(customers: readonly Customer[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { status } of (await Promise.all(customers.map((customer) => customer.allOrders()))).flat()) {
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

/** The orders whose stock was reserved, in that order: the ids of what one message caused are increasing. */
async function reservedOrders(store: ReturnType<typeof useOwnStore>): Promise<string[]> {
  const known = new Map([[StockReserved.type, StockReserved]]);
  const records = await store.records.read("inventory.events");
  return records
    .flatMap((record) => {
      const decoded = decode(known, { ...record, key: String(record.key), headers: {} });
      return decoded.status === "decoded" ? [decoded.message] : [];
    })
    .sort((one, other) => (one.id < other.id ? -1 : 1))
    .map(({ subject }) => subject);
}
