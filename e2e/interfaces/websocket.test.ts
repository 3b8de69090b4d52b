import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Notification } from "../support/answers.ts";
import type { Customer } from "../support/customer.ts";
import { Listener } from "../support/listener.ts";
import { describeOwn, OwnStore, useStore } from "../support/own-store.ts";
import { slowTest } from "../support/slow-test.ts";

const store = useStore();

const LIMIT_MS = 90_000;
const ORDERS = 40;

/** Places orders one after the other. */
async function placeOrders(customer: Customer, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
  }
}

/** Receives a number of notifications; each new connection resumes after the last one received. */
async function listenPersistently(
  customer: Customer,
  count: number,
  whileOpen: (listener: Listener, wanted: number) => Promise<void>,
): Promise<Notification[]> {
  const all: Notification[] = [];
  while (all.length < count) {
    const listener = customer.listen(all.at(-1)?.seq ?? 0);
    if (await listener.opened()) await whileOpen(listener, count - all.length);
    await listener.terminate();
    all.push(...listener.received);
  }
  return all;
}

describe("a WebSocket", () => {
  test(
    "that is terminated repeatedly and resumes misses nothing and receives nothing twice",
    async () => {
      await store.seed();
      const customer = await store.signIn(`CUSTOMER_${crypto.randomUUID()}`);
      const placing = placeOrders(customer, ORDERS);
      // Terminated while notifications are arriving.
      const received = await listenPersistently(customer, 2 * ORDERS, async (listener, wanted) => {
        await listener.until(Math.min(wanted, 7));
      });
      await placing;
      expect(received).toEqual(await customer.notifications());
      expect(received).toHaveLength(2 * ORDERS);
      expect(new Set(received.map(({ notificationId }) => notificationId)).size).toBe(2 * ORDERS);
      expect(received.map(({ seq }) => seq)).toEqual(received.map(({ seq }) => seq).sort((a, b) => a - b));
    },
    LIMIT_MS,
  );

  test(
    "receives the missed notifications, then new ones, from any starting point",
    async () => {
      await store.seed();
      const customer = await store.signIn(`CUSTOMER_${crypto.randomUUID()}`);
      await placeOrders(customer, 5);
      await eventually(async () => (await customer.notifications()).length === 10, "ten notifications");
      const listener = customer.listen();
      await listener.until(10);
      const late = customer.listen(listener.received[7]?.seq);
      await late.until(2);
      const future = customer.listen(999_999_999_999_999);
      expect(await future.opened()).toBe(true);
      await placeOrders(customer, 1);
      await listener.until(12);
      await late.until(4);
      expect(listener.received).toEqual(await customer.notifications());
      expect(late.received).toEqual(listener.received.slice(8));
      expect(future.received).toEqual([]);
      for (const each of [listener, late, future]) await each.terminate();
    },
    LIMIT_MS,
  );

  test("with an invalid query is not opened", async () => {
    const { session } = await store.signIn("CUSTOMER_001");
    const url = `${store.url("notification").replace(/^http/, "ws")}/notifications`;
    for (const query of ["?after=-1", "?after=x", "?after=1e3", "?before=2"]) {
      expect(await new Listener(`${url}${query}`, ["bearer", session.token]).opened()).toBe(false);
    }
    expect((await store.request("notification", "/liveness")).status).toBe(200);
  });
});

describeOwn("when the notification service ends", () => {
  const own = () => {
    if (store instanceof OwnStore) return store;
    throw new Error("these tests need the processes of the store");
  };

  slowTest(
    "a stop closes with 1001, a kill with 1006; either way nothing is missed",
    async () => {
      await store.seed();
      const customer = await store.signIn(`CUSTOMER_${crypto.randomUUID()}`);
      const codes: number[] = [];
      const ends = [() => own().process("notification").stop(), () => own().process("notification").kill()];
      const received = await listenPersistently(customer, 40, async (listener, wanted) => {
        const end = ends.shift();
        // However fast they are, some are left for the last connection.
        const placing = placeOrders(customer, end === undefined ? 10 : 5);
        await listener.until(end === undefined ? wanted : 5);
        if (end !== undefined) {
          await end();
          codes.push(await listener.closed);
          await own().process("notification").start();
        }
        await placing;
      });
      expect(codes).toEqual([1001, 1006]);
      expect(received).toEqual(await customer.notifications());
      expect(new Set(received.map(({ notificationId }) => notificationId)).size).toBe(40);
    },
    LIMIT_MS,
  );
});
