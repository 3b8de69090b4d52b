import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { demoOrders } from "../support/customer.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

/**
 * The processes that an order can be accepted without, the status that it reaches without them, and how many of two
 * orders stay in the gateway's outbox.
 */
const outages = [
  { down: "inventory", meanwhile: "pending", unsent: 0 },
  { down: "order", meanwhile: "accepted", unsent: 0 },
  { down: "broker", meanwhile: "accepted", unsent: 2 },
  { down: "notification", meanwhile: "confirmed", unsent: 0 },
] as const;

const LIMIT_MS = 90_000;

describeOwn("while a process is down", () => {
  const store = useOwnStore();

  describe.each(outages)("$down", ({ down, meanwhile, unsent }) => {
    test(
      `orders are accepted and become ${meanwhile}; when it is back they are confirmed`,
      async () => {
        await store.seed();
        const customer = await store.signIn(`CUSTOMER_${down}`);
        const order1 = { ...demoOrders.ORDER_001, orderId: `ORDER_001_${down}` };
        const order2 = { ...demoOrders.ORDER_002, orderId: `ORDER_002_${down}` };
        await store.process(down).stop();

        for (let time = 1; time <= 5; time++) await customer.place(order1);
        await customer.place(order2);
        await eventually(async () => {
          return (await store.metric("api-gateway", "outbox_depth")) === unsent;
        }, `${unsent} messages in the gateway's outbox`);
        await customer.until(order1.orderId, meanwhile);
        await customer.until(order2.orderId, meanwhile);
        const answers = await customer.orders();
        expect(answers.map(({ orderId, status }) => ({ orderId, status }))).toEqual([
          { orderId: order2.orderId, status: meanwhile },
          { orderId: order1.orderId, status: meanwhile },
        ]);

        await store.process(down).start();
        for (const { orderId } of [order1, order2]) {
          await customer.until(orderId, "confirmed");
          await eventually(async () => {
            expect(await customer.notificationTypes(orderId)).toEqual(["order.received", "order.confirmed"]);
            return true;
          }, `the notifications of ${orderId}`);
        }
        expect(await store.stock("PRODUCT_001")).toMatchObject({ onHand: 10, available: 5 });
        expect(await store.stock("PRODUCT_002")).toMatchObject({ onHand: 15, available: 13 });
      },
      LIMIT_MS,
    );
  });

  test(
    "without the broker, readiness reports it and only the gateway stays ready",
    async () => {
      await store.process("broker").stop();
      for (const name of ["order", "inventory", "notification"] as const) {
        await eventually(async () => {
          const { status, body } = await store.request(name, "/readiness");
          expect(body).toMatchObject({
            app: name,
            ready: false,
            checks: { database: "UP", broker: "DOWN", partitions: "UP" },
          });
          return status === 503;
        }, `${name} not to be ready`);
        expect((await store.request(name, "/liveness")).body).toEqual({ app: name, status: "UP" });
      }
      await eventually(async () => {
        const { status, body } = await store.request("api-gateway", "/readiness");
        expect(body).toMatchObject({ ready: true, checks: { database: "UP", broker: "DOWN" } });
        return status === 200;
      }, "the gateway to report the broker as down");
      await store.process("broker").start();
      for (const name of ["api-gateway", "order", "inventory", "notification"] as const) {
        await eventually(async () => {
          const { body } = await store.request(name, "/readiness");
          expect(body).toMatchObject({ ready: true, checks: { broker: "UP" } });
          return true;
        }, `${name} to report the broker as up`);
      }
    },
    LIMIT_MS,
  );

  test(
    "with only the gateway up, an order is accepted, found and listed",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_alone");
      const others = ["notification", "inventory", "order", "broker"] as const;
      for (const name of others) await store.process(name).stop();
      const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });
      expect((await customer.order(orderId)).status).toBe("accepted");
      expect(await customer.orders()).toHaveLength(1);
      expect(await store.products()).toHaveLength(12);

      // The worst order: the services start first and wait for the broker.
      await store.process("api-gateway").stop();
      const services = [...others.filter((name) => name !== "broker"), "api-gateway"] as const;
      const started = services.map((name) => store.process(name).start());
      await eventually(() => customer.order(orderId), "the gateway to answer");
      await store.process("broker").start();
      await Promise.all(started);
      await customer.until(orderId, "confirmed");
    },
    LIMIT_MS,
  );

  test(
    "a product that is withdrawn before an order for it is handled: the order is rejected and reserves nothing",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_late");
      await store.process("order").stop();
      const items = [
        { productId: "PRODUCT_001", quantity: 1 },
        { productId: "PRODUCT_002", quantity: 1 },
      ];
      const { orderId } = await customer.place({ items });
      await store.deleteAll();
      await eventually(async () => (await store.products()).length === 0, "the gateway to sell nothing");
      expect((await customer.tryToPlace({ items })).status).toBe(422);
      await store.process("order").start();
      const order = await customer.until(orderId, "rejected");
      expect(order.reason).toBe("unknown product PRODUCT_001");
      await untilIdle(store);
      expect(await customer.notificationTypes(orderId)).toEqual(["order.received", "order.rejected"]);
      await store.seed();
      expect(await store.stock("PRODUCT_001")).toMatchObject({ reserved: 0 });
    },
    LIMIT_MS,
  );
});
