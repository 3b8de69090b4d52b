import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { slowTest } from "../support/slow-test.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";

describePage("backordered, cancelled and refused orders", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  test(
    "a backordered order shows its shortage, and is confirmed after a restock, without a reload",
    async () => {
      const shop = await (await fixture.visit()).open();
      await shop.signIn("WAITER");
      const calendar = shop.product("PRODUCT_012");
      expect(await calendar.locator(".stock").textContent()).toBe("Sold out");
      await shop.add("PRODUCT_012", 3);
      const orderId = await shop.checkOut();
      await shop.untilStatus("backordered");
      await shop.page.locator(".status-text", { hasText: "It waits for 3 × Last year's calendar" }).waitFor();

      const admin = await (await shop.otherTab()).open("admin/stock");
      const row = admin.page.locator('[data-stock="PRODUCT_012"]');
      await row.getByRole("spinbutton").fill("5");
      await row.getByRole("button", { name: "Restock" }).click();
      await row.getByText("Restock of 5 accepted.").waitFor();
      await shop.untilStatus("confirmed");
      await eventually(
        async () =>
          Bun.deepEquals(await shop.timeline(), [
            "PlaceOrder",
            "OrderPlaced",
            "StockShort",
            "OrderBackordered",
            "StockReserved",
            "OrderConfirmed",
          ]),
        "every message to be shown",
      );
      const customer = await store.signIn("WAITER");
      await eventually(
        async () =>
          Bun.deepEquals(await customer.notificationTypes(orderId), [
            "order.received",
            "order.waiting",
            "order.confirmed",
          ]),
        "its notifications",
      );
      expect(await store.stock("PRODUCT_012")).toMatchObject({ onHand: 5, reserved: 3, available: 2 });
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a waiting and a confirmed order can be cancelled; the stock is released",
    async () => {
      const shop = await (await fixture.visit()).open();
      await shop.signIn("CANCELLER");
      const cancel = () => shop.page.getByRole("button", { name: "Cancel this order" }).click();
      await shop.add("PRODUCT_005", 99);
      await shop.checkOut();
      await shop.untilStatus("backordered");
      await cancel();
      await shop.untilStatus("cancelled");
      await shop.page.locator(".status-text", { hasText: "Cancelled at your request." }).waitFor();

      await (await shop.goTo("")).add("PRODUCT_005", 2);
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      expect(await store.stock("PRODUCT_005")).toMatchObject({ reserved: 2, available: 2 });
      await cancel();
      await shop.untilStatus("cancelled");
      await eventually(
        async () => (await store.stock("PRODUCT_005")).available === 4,
        "the stock to be released",
      );
      expect(await shop.page.getByRole("button", { name: "Cancel this order" }).count()).toBe(0);
      await shop.goTo("");
      await eventually(async () => (await shop.available("PRODUCT_005")) === 4, "the shop to show the stock");
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a refused order shows the reason, and its customer puts its lines into the basket again",
    async () => {
      const shop = await (await fixture.visit()).open();
      await shop.signIn("REFUSED");
      await shop.add("PRODUCT_006", 2);
      const problem = {
        type: "urn:problem-type:invalid-input",
        detail: "The order cannot be placed as it is.",
      };
      const refuse = { status: 422, contentType: "application/problem+json", body: JSON.stringify(problem) };
      await shop.page.route("**/orders", (route) => route.fulfill(refuse), { times: 1 });
      await shop.checkOut();
      await shop.untilStatus("refused");
      await shop.page.getByRole("alert").getByText("The order cannot be placed as it is.").waitFor();
      await shop.page.getByRole("button", { name: "Put it into the basket again" }).click();
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      expect(await (await store.signIn("REFUSED")).orders()).toMatchObject([
        { items: [{ productId: "PRODUCT_006", quantity: 2 }] },
      ]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
