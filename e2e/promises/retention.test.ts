import { expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { slowTest } from "../support/slow-test.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 120_000;

describeOwn("with orders and notifications that are kept for seconds", () => {
  const store = useOwnStore({
    env: { ORDER_RETENTION: "8s", NOTIFICATION_RETENTION: "8s", BACKORDER_TTL: "8s" },
  });
  const rows = (name: (typeof serviceNames)[number], table: string) =>
    store.rows<{ n: number }>(name, `SELECT count(*) AS n FROM ${table}`)[0]?.n;

  slowTest(
    "final ones are deleted everywhere, over kill -9; the stock stays, and ids do not take effect again",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_001");
      const order = { orderId: "GONE", items: [{ productId: "PRODUCT_001", quantity: 2 }] };
      await customer.place(order);
      await customer.place({ orderId: "REJECTED", items: [{ productId: "PRODUCT_012", quantity: 1 }] });
      await customer.until("GONE", "confirmed");
      await untilIdle(store);
      await store.supervisor.killAll();
      await store.startAll();
      await eventually(async () => (await customer.orders()).length === 0, "no order at the gateway");
      await eventually(() => {
        const left = [
          rows("api-gateway", "orders"),
          rows("api-gateway", "order_steps"),
          rows("order", "orders"),
          rows("inventory", "reservations"),
          rows("notification", "notifications"),
        ];
        return left.every((count) => count === 0);
      }, "no row of an order");
      const stock = await store.stock("PRODUCT_001");
      expect(stock).toMatchObject({ onHand: 10, reserved: 2 });
      expect(await customer.notifications()).toEqual([]);
      await expect(customer.place(order)).rejects.toThrow("409");
      await untilIdle(store);
      expect(await store.stock("PRODUCT_001")).toEqual(stock);
      for (const name of serviceNames) expect(await store.metric(name, "dead_letters")).toBe(0);
    },
    LIMIT_MS,
  );
});
