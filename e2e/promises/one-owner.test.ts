import { expect, test } from "bun:test";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { second } from "../support/second-process.ts";
import { slowTest } from "../support/slow-test.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 60_000;

describeOwn("one process is the service", () => {
  const store = useOwnStore();

  test(
    "a second inventory, on an empty volume, rejects none of 20 orders, says what to do, and stores nothing",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_owner");
      await using other = await second(store, "inventory", join(store.dataDir, "empty"));
      await other.says("not the one of the service");
      const seeded = await fetch(`${other.url}/automation-testing/seed`, { method: "POST" });
      expect([seeded.status, ((await seeded.json()) as { type: string }).type]).toEqual([
        503,
        expect.stringContaining("not-owner"),
      ]);
      const orderIds = Array.from({ length: 20 }, (_, number) => `second-${number}`);
      for (const orderId of orderIds) {
        await customer.place({ orderId, items: [{ productId: "PRODUCT_006", quantity: 1 }] });
      }
      for (const orderId of orderIds) await customer.until(orderId, "confirmed");
      expect((await store.stock("PRODUCT_006")).reserved).toBe(20);
    },
    LIMIT_MS,
  );

  slowTest(
    "a copy of the file of a notification service that runs notifies nobody, and the service goes on",
    async () => {
      await untilIdle(store);
      const copied = join(store.dataDir, "copied");
      mkdirSync(copied, { mode: 0o700 });
      for (const end of ["", "-wal"]) {
        cpSync(join(store.dataDir, `notification.sqlite${end}`), join(copied, `notification.sqlite${end}`));
      }
      await using other = await second(store, "notification", copied);
      await other.says("runs elsewhere");
      const customer = await store.signIn("CUSTOMER_copied");
      const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
      await customer.until(orderId, "confirmed");
      await eventually(
        async () => (await customer.notificationTypes(orderId)).join() === "order.received,order.confirmed",
        "each notification, once",
      );
    },
    LIMIT_MS,
  );

  slowTest(
    "a service that is killed goes on with its file, as often as it is",
    async () => {
      const customer = await store.signIn("CUSTOMER_killed");
      for (let round = 0; round < 3; round += 1) {
        await store.process("inventory").kill();
        const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
        await customer.until(orderId, "confirmed");
      }
      const [row] = store.rows<{ epoch: number }>("inventory", "SELECT epoch FROM ownership");
      expect(row?.epoch).toBeGreaterThan(3);
    },
    LIMIT_MS,
  );
});
