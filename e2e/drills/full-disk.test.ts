import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { OwnStore } from "../support/own-store.ts";
import { canMount, fillDisk, mountSmallDisk, unmount } from "../support/small-disk.ts";
import { isRunningElsewhere } from "../support/store.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, order, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

/** Little more than a store needs that has just started. */
const DISK_MB = 48;
const MOST_ORDERS = 5_000;

const store = new OwnStore();
const operator = new Operator(store);
const hasDisk = !isRunningElsewhere && canMount();
if (!hasDisk)
  console.warn("skipped the drill of a full disk, which needs the permission to mount a file system");

(hasDisk ? describeDrill : describe.skip)("a full disk", () => {
  beforeAll(async () => {
    mountSmallDisk(store.dataDir, DISK_MB);
    await store.startAll();
  }, DRILL_LIMIT_MS);
  afterAll(async () => {
    await store.supervisor.stopAll();
    unmount(store.dataDir);
    await store.dispose();
  }, DRILL_LIMIT_MS);

  test(
    "is found and emptied, and no accepted order is lost",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_disk");
      await placed(customer, "before");
      fillDisk(join(store.dataDir, "forgotten-copy"), store.dataDir);
      const accepted = ["before"];
      for (let number = 0; number < MOST_ORDERS; number += 1) {
        const answer = await customer.tryToPlace(order(`full-${number}`));
        if (answer.status !== 202) break;
        accepted.push(`full-${number}`);
      }
      expect(accepted.length).toBeLessThan(150);

      expect(await operator.follow("First look", 1, {}, { mayFail: true })).toMatch(/FAILED +disk +0 %/);
      const FILE = /^\d+\t(\S+forgotten-copy)$/m;
      await operator.follow("StorageFailing", 1);
      await operator.follow("StorageFailing", 2, { FILE }, { mayFail: true });
      await eventually(() => customer.place(order("again")), "orders to be accepted again");
      await expectHealthy(store, operator, customer, [...accepted, "again"]);
    },
    DRILL_LIMIT_MS,
  );
});
