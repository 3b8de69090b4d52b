import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { problemIn } from "../support/answers.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;

describeOwn("a gateway with an OUTBOX_LIMIT of five", () => {
  const store = useOwnStore({ env: { OUTBOX_LIMIT: "5" } });

  test(
    "refuses orders with 503 when the outbox is full, lists the accepted ones, and recovers",
    async () => {
      await store.seed();
      const customer = await store.signIn("CUSTOMER_001");
      await store.process("broker").stop();
      const items = [{ productId: "PRODUCT_006", quantity: 1 }];
      const accepted: string[] = [];
      for (let count = 1; count <= 5; count++) accepted.push((await customer.place({ items })).orderId);

      const refused = await customer.tryToPlace({ orderId: "ORDER_refused", items });
      expect(problemIn(refused)).toMatchObject({ status: 503, type: "urn:problem-type:backlog" });
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      expect((await customer.askForOrder("ORDER_refused")).status).toBe(404);
      expect(await customer.orders()).toHaveLength(5);

      await store.process("broker").start();
      await eventually(
        () => customer.place({ orderId: "ORDER_refused", items }),
        "orders to be accepted again",
      );
      for (const orderId of [...accepted, "ORDER_refused"]) await customer.until(orderId, "confirmed");
      await untilIdle(store);
      expect(await store.stock("PRODUCT_006")).toMatchObject({ reserved: 6 });
    },
    LIMIT_MS,
  );
});

describeOwn("a store without test routes and demo sign-in", () => {
  const store = useOwnStore({ env: { AUTOMATION_TESTING: "false", DEMO_SIGN_IN: "false" } });

  describe.each([
    ["api-gateway", "POST", "/sessions"],
    ["inventory", "POST", "/automation-testing/seed"],
    ["inventory", "DELETE", "/automation-testing/all"],
  ] as const)("%s: %s %s", (name, method, path) => {
    test("is not found", async () => {
      const init = {
        method,
        body: '{"customerId":"CUSTOMER_001"}',
        headers: { "content-type": "application/json" },
      };
      expect(problemIn(await store.request(name, path, init)).status).toBe(404);
    });
  });

  test("has an empty catalogue, and no sign-in", async () => {
    expect(await store.products()).toEqual([]);
    expect(problemIn(await store.request("api-gateway", "/orders")).status).toBe(401);
  });
});
