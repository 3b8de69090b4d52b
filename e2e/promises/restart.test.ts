import { expect, test } from "bun:test";
import { demoOrders } from "../support/demo.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { untilQuiet } from "../support/quiet.ts";
import { stateOf } from "../support/state.ts";

const LIMIT_MS = 90_000;

describeOwn("after a restart of everything", () => {
  const store = useOwnStore();

  async function fill() {
    await store.seed();
    const customers = [await store.signIn("CUSTOMER_001"), await store.signIn("CUSTOMER_002")];
    const [first, second] = customers;
    await first?.place(demoOrders.ORDER_001);
    await first?.place(demoOrders.ORDER_002);
    await second?.place({ items: [{ productId: "PRODUCT_012", quantity: 1 }] });
    await untilQuiet(store);
    return customers;
  }

  test.each([
    ["in order", () => store.supervisor.stopAll()],
    ["by kill -9 of everything at once", () => store.supervisor.killAll()],
  ] as const)(
    "%s, the data is as before, tokens are still good, and orders go on",
    async (_, end) => {
      const customers = await fill();
      const before = await stateOf(store, customers);
      await end();
      await store.startAll();
      await untilQuiet(store);
      expect(await stateOf(store, customers)).toEqual(before);

      const again = await customers[0]?.tryToPlace(demoOrders.ORDER_001);
      expect(again?.headers.get("idempotent-replayed")).toBe("true");
      const placed = await customers[1]?.place({ items: [{ productId: "PRODUCT_009", quantity: 1 }] });
      await customers[1]?.until(placed?.orderId ?? "", "confirmed");
    },
    LIMIT_MS,
  );
});
