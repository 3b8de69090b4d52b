import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

describeDrill("a partition that waits for a decision", () => {
  const store = useOwnStore();
  const operator = new Operator(store);

  test(
    "goes on after it, and no order is lost",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_stuck");
      // On every partition: of one that was never read, nothing is missed.
      const before = Array.from({ length: 12 }, (_, number) => `before-${number}`);
      await placed(customer, ...before);
      await untilIdle(store);
      // Retention removes what a service that is down has not read.
      await store.process("notification").stop();
      await placed(customer, "unread");
      await store.records.removeAll("order.events");
      void store
        .process("notification")
        .start()
        .catch(() => {});
      const stopped = () => store.rows("notification", "SELECT 1 FROM partition_stops").length > 0;
      await eventually(stopped, "a partition to stop");
      await placed(customer, "meanwhile");

      const seen = await operator.follow("First look", 1, {}, { mayFail: true });
      expect(seen).toMatch(/FAILED +services +notification: (partitions|gaps) is DOWN/);
      const found = {
        SERVICE: /^(\S+) +\S+\/\d+ +\d+ +gap/m,
        PARTITION: /^\S+ +(\S+\/\d+) +\d+ +gap/m,
        OFFSET: /is stopped at offset (\d+)/,
      };
      expect(await operator.follow("PartitionStopped", 1, found)).toContain("gap");
      const reason = { REASON: "retention removed notifications of a night" };
      const after = await operator.follow("PartitionStopped", 2, { ...found, ...reason }, { mayFail: true });
      expect(after).toContain("no partition is stopped");
      await expectHealthy(store, operator, customer, [...before, "unread", "meanwhile"], ["unread"]);
    },
    DRILL_LIMIT_MS,
  );
});
