import { expect, test } from "bun:test";
import { demoOrders } from "../support/customer.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";
import { stateOf, untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;

describeOwn("after a restart of every process", () => {
  const store = useOwnStore();

  async function fill() {
    await store.seed();
    const customers = [await store.signIn("CUSTOMER_001"), await store.signIn("CUSTOMER_002")];
    const [first, second] = customers;
    await first?.place(demoOrders.ORDER_001);
    await first?.place(demoOrders.ORDER_002);
    await second?.place({ items: [{ productId: "PRODUCT_012", quantity: 1 }] });
    await untilIdle(store);
    return customers;
  }

  test.each([
    ...(runsSlowTests ? [["after an orderly stop", () => store.supervisor.stopAll()] as const] : []),
    ["after kill -9 of every process at once", () => store.supervisor.killAll()] as const,
  ])(
    "%s, the data is unchanged, tokens are valid, and orders are accepted",
    async (_, end) => {
      const customers = await fill();
      const before = await stateOf(store, customers);
      await end();
      await store.startAll();
      await untilIdle(store);
      expect(await stateOf(store, customers)).toEqual(before);

      const again = await customers[0]?.tryToPlace(demoOrders.ORDER_001);
      expect(again?.headers.get("idempotent-replayed")).toBe("true");
      const placed = await customers[1]?.place({ items: [{ productId: "PRODUCT_009", quantity: 1 }] });
      await customers[1]?.until(placed?.orderId ?? "", "confirmed");
    },
    LIMIT_MS,
  );
});
