import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { problemIn } from "../support/answers.ts";
import { describeOwn, useOwnStore, useStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;

describe("a customer cancels", () => {
  const store = useStore();

  test(
    "a confirmed order: its stock is reserved for the next waiting order",
    async () => {
      await store.seed();
      const ann = await store.signIn("CUSTOMER_ann");
      const bob = await store.signIn("CUSTOMER_bob");
      const items = [{ productId: "PRODUCT_004", quantity: 5 }];
      const first = await ann.place({ items });
      await ann.until(first.orderId, "confirmed");
      const second = await bob.place({ items: [{ productId: "PRODUCT_004", quantity: 3 }] });
      await bob.until(second.orderId, "backordered");

      expect((await bob.cancel(first.orderId)).status).toBe(404);
      expect(await ann.cancel(first.orderId)).toMatchObject({
        status: 202,
        body: { orderId: first.orderId, status: "confirmed" },
      });
      const cancelled = await ann.until(first.orderId, "cancelled");
      expect(cancelled.reason).toBe("customer_request");
      await bob.until(second.orderId, "confirmed");
      expect(await store.stock("PRODUCT_004")).toMatchObject({ onHand: 5, reserved: 3, available: 2 });
      expect(problemIn(await ann.cancel(first.orderId)).status).toBe(409);
      await eventually(async () => {
        expect(await ann.notificationTypes(first.orderId)).toEqual([
          "order.received",
          "order.confirmed",
          "order.cancelled",
        ]);
        expect(await bob.notificationTypes(second.orderId)).toEqual([
          "order.received",
          "order.waiting",
          "order.confirmed",
        ]);
        return true;
      }, "both customers to be notified");
      await eventually(async () => {
        const { history } = await ann.order(first.orderId);
        expect(history.map(({ type, service }) => `${service}: ${type}`)).toEqual([
          "api-gateway: store.order.place.v1",
          "order: store.order.placed.v1",
          "inventory: store.stock.reserved.v1",
          "order: store.order.confirmed.v1",
          "api-gateway: store.order.cancel.v1",
          "order: store.order.cancelled.v1",
          "inventory: store.stock.released.v1",
        ]);
        return true;
      }, "the history to be complete");
    },
    LIMIT_MS,
  );

  test(
    "a waiting order: the orders that it blocked are confirmed",
    async () => {
      await store.seed();
      const ann = await store.signIn("CUSTOMER_ann");
      const first = await ann.place({ items: [{ productId: "PRODUCT_005", quantity: 9 }] });
      await ann.until(first.orderId, "backordered");
      const second = await ann.place({ items: [{ productId: "PRODUCT_005", quantity: 2 }] });
      await ann.until(second.orderId, "backordered");
      await ann.cancel(first.orderId);
      await ann.until(first.orderId, "cancelled");
      await ann.until(second.orderId, "confirmed");
      expect(await store.stock("PRODUCT_005")).toMatchObject({ onHand: 4, reserved: 2 });
    },
    LIMIT_MS,
  );
});

const processes = ["order", "inventory", "broker", "notification"] as const;

describeOwn("a customer cancels while a process is down", () => {
  const store = useOwnStore();

  test.each(processes)(
    "%s: the cancellation is accepted, and takes effect once when the process is back",
    async (down) => {
      await store.seed();
      const ann = await store.signIn(`CUSTOMER_${down}`);
      const [before, meanwhile] = [`BEFORE_${down}`, `MEANWHILE_${down}`];
      const items = [{ productId: "PRODUCT_003", quantity: 2 }];
      await ann.place({ orderId: before, items });
      await ann.until(before, "confirmed");
      await store.process(down).stop();
      await ann.place({ orderId: meanwhile, items });
      for (const orderId of [before, meanwhile]) expect((await ann.cancel(orderId)).status).toBe(202);
      // The same request again has no further effect; 409 when the order is cancelled already.
      for (const orderId of [before, meanwhile])
        expect([202, 409]).toContain((await ann.cancel(orderId)).status);
      await store.process(down).start();
      for (const orderId of [before, meanwhile]) await ann.until(orderId, "cancelled");
      await untilIdle(store);
      expect(await store.stock("PRODUCT_003")).toMatchObject({ onHand: 8, reserved: 0 });
      for (const orderId of [before, meanwhile]) {
        const types = await ann.notificationTypes(orderId);
        expect(types.filter((type) => type === "order.cancelled")).toHaveLength(1);
      }
    },
    LIMIT_MS,
  );
});
