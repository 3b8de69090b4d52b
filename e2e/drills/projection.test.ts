import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";
import { DRILL_LIMIT_MS, describeDrill, expectHealthy, placed } from "./drill.ts";
import { Operator } from "./runbook.ts";

describeDrill("a projection that was lost", () => {
  const store = useOwnStore();
  const operator = new Operator(store);

  test(
    "is made anew from the topics",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_lost");
      await placed(customer, "first", "second");
      await untilIdle(store);
      /** What the page says of the views: all but the gateway's own step is in the topics. */
      const views = async () =>
        (await customer.allOrders())
          .map(({ orderId, status, items, total, history }) => ({
            ...{ orderId, status, items, total },
            history: history.filter(({ service }) => service !== "api-gateway"),
          }))
          .sort((one, other) => (one.orderId < other.orderId ? -1 : 1));
      const before = await views();
      await store.process("api-gateway").stop();
      {
        using database = new Database(join(store.dataDir, "api-gateway.sqlite"));
        database.run("DELETE FROM order_steps");
        database.run("DELETE FROM orders");
      }
      await store.process("api-gateway").start();
      expect(await customer.allOrders()).toEqual([]);

      const printed = await operator.follow("Rebuild a projection", 1, { SERVICE: "api-gateway" });
      expect(printed).toContain("api-gateway is rebuilt: 0 messages skipped");
      expect(await views()).toEqual(before);
      await expectHealthy(store, operator, customer, ["first", "second"]);
    },
    DRILL_LIMIT_MS,
  );
});
