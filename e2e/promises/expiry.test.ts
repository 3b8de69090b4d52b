import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { slowTest } from "../support/slow-test.ts";
import { untilIdle } from "../support/state.ts";

const TTL_MS = 5_000;
const LIMIT_MS = 90_000;

describeOwn("an order waits until its deadline", () => {
  const store = useOwnStore({ env: { BACKORDER_TTL: `${TTL_MS}ms` } });
  const items = [{ productId: "PRODUCT_012", quantity: 1 }];

  slowTest(
    "then it is cancelled, and a later restock does not confirm it",
    async () => {
      await store.seed();
      const ann = await store.signIn("CUSTOMER_ann");
      const admin = await store.signIn("ADMIN_001", "admin");
      const { orderId } = await ann.place({ items });
      const waiting = await ann.until(orderId, "backordered");
      const order = await ann.until(orderId, "cancelled");
      expect(order.reason).toBe("backorder_expired");
      const [since, until] = ["store.order.backordered.v1", "store.order.cancelled.v1"].map((type) =>
        Date.parse(order.history.find((step) => step.type === type)?.at ?? ""),
      );
      expect((until ?? 0) - (since ?? 0)).toBeGreaterThanOrEqual(TTL_MS);
      expect(waiting.history.length).toBeLessThan(order.history.length);
      await admin.restock("PRODUCT_012", 1);
      await untilIdle(store);
      expect(await store.stock("PRODUCT_012")).toMatchObject({ onHand: 1, reserved: 0 });
      expect(await ann.notificationTypes(orderId)).toEqual([
        "order.received",
        "order.waiting",
        "order.cancelled",
      ]);
      const [, , message] = (await ann.notifications()).filter(({ orderId: of }) => of === orderId);
      expect(message?.message).toContain("has not come in in time");
    },
    LIMIT_MS,
  );

  slowTest(
    "also when the order service is down at the deadline",
    async () => {
      await store.seed();
      const ann = await store.signIn("CUSTOMER_bob");
      const admin = await store.signIn("ADMIN_001", "admin");
      const { orderId } = await ann.place({ items });
      await ann.until(orderId, "backordered");
      await store.process("order").stop();
      await admin.restock("PRODUCT_012", 1);
      await eventually(async () => {
        return (await store.stock("PRODUCT_012")).reserved === 1;
      }, "the inventory to have reserved it");
      await Bun.sleep(TTL_MS);
      await store.process("order").start();
      await ann.until(orderId, "cancelled");
      await untilIdle(store);
      expect(await store.stock("PRODUCT_012")).toMatchObject({ onHand: 1, reserved: 0 });
    },
    LIMIT_MS,
  );

  test(
    "an order that is confirmed before its deadline stays confirmed",
    async () => {
      await store.seed();
      const cancelled = await store.metric("order", "orders_cancelled");
      const ann = await store.signIn("CUSTOMER_cat");
      const admin = await store.signIn("ADMIN_001", "admin");
      const { orderId } = await ann.place({ items });
      await ann.until(orderId, "backordered");
      await admin.restock("PRODUCT_012", 1);
      await ann.until(orderId, "confirmed");
      await Bun.sleep(TTL_MS);
      expect((await ann.order(orderId)).status).toBe("confirmed");
      expect(await store.metric("order", "orders_cancelled")).toBe(cancelled);
    },
    LIMIT_MS,
  );
});
