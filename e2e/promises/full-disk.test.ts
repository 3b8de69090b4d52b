import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { problemIn } from "../support/answers.ts";
import { OwnStore } from "../support/own-store.ts";
import { canMount, fillDisk, mountSmallDisk, unmount } from "../support/small-disk.ts";
import { isRunningElsewhere } from "../support/store.ts";

/** Little more than a store needs that has just started. */
const DISK_MB = 48;
/** More orders than fit into the space that the databases have allocated. */
const MOST_ORDERS = 5_000;
const LIMIT_MS = 120_000;

const store = new OwnStore();
const hasDisk = !isRunningElsewhere && canMount();
if (!hasDisk)
  console.warn("skipped the tests with a full disk, which need the permission to mount a file system");

(hasDisk ? describe : describe.skip)("when the disk is full", () => {
  beforeAll(() => {
    mountSmallDisk(store.dataDir, DISK_MB);
    return store.startAll();
  }, LIMIT_MS);
  afterAll(async () => {
    try {
      await store.supervisor.stopAll();
    } finally {
      unmount(store.dataDir);
      await store.dispose();
    }
  }, LIMIT_MS);

  test(
    "orders are refused with 503, no accepted order is lost, and orders are accepted again when there is space",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_full");
      const order = (orderId: string) => ({ orderId, items: [{ productId: "PRODUCT_006", quantity: 1 }] });
      await customer.place(order("before"));
      await customer.until("before", "confirmed");

      const filler = join(store.dataDir, "filler");
      fillDisk(filler, store.dataDir);
      const accepted: string[] = [];
      let refused: string | undefined;
      for (let i = 0; i < MOST_ORDERS && refused === undefined; i++) {
        const answer = await customer.tryToPlace(order(`full-${i}`));
        if (answer.status === 202) accepted.push(`full-${i}`);
        else {
          refused = `full-${i}`;
          expect(problemIn(answer)).toMatchObject({
            status: 503,
            type: "urn:problem-type:storage-unavailable",
          });
          expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
        }
      }
      expect(refused).toBeString();
      expect((await customer.askForOrder(refused ?? "")).status).toBe(404);
      expect((await store.request("api-gateway", "/liveness")).status).toBe(200);
      expect((await customer.askForOrder("before")).status).toBe(200);
      expect(await store.request("api-gateway", "/readiness")).toMatchObject({
        status: 503,
        body: {
          ready: false,
          checks: { database: "UP", storage: "DOWN" },
          problems: expect.arrayContaining([
            {
              check: "storage",
              detail: expect.stringMatching(/^Nothing can be stored: the disk is full\./),
              remedy: expect.stringMatching(/^Free space/),
            },
          ]),
        },
      });

      rmSync(filler);
      await eventually(
        async () => (await store.request("api-gateway", "/readiness")).status === 200,
        "the gateway to be ready again",
      );
      await eventually(() => customer.place(order(refused ?? "")), "orders to be accepted again");
      for (const orderId of [...accepted, refused ?? ""]) {
        await customer.until(orderId, "confirmed", "backordered");
      }
      const notified = (await customer.notifications()).map(({ orderId, type }) => `${orderId} ${type}`);
      expect(new Set(notified).size).toBe(notified.length);
      await store.stock("PRODUCT_006");
      // The first failure, and few of those that follow: never one for each request or each try.
      const of = (text: string) => store.log("api-gateway").filter((line) => line.includes(text));
      expect(of("something can be stored again")).toHaveLength(1);
      expect(of("nothing can be stored").length).toBeLessThan(12);
    },
    LIMIT_MS,
  );
});
