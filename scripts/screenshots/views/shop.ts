import { withoutSupervisor } from "@distributed-messaging/e2e/page/shop";
import { placeOrder, SOLD_OUT, type View } from "./view.ts";

export const shopViews = [
  {
    name: "shop",
    prepare: async () => {},
  },
  {
    name: "shop-loading",
    async prepare({ page }) {
      await page.evaluate(() => localStorage.clear());
      await page.route("**/products", () => {});
      await page.reload();
      await page.locator(".product-blank").first().waitFor();
    },
  },
  {
    name: "shop-basket",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_001", 2);
      await shop.add("PRODUCT_003");
      await shop.add(SOLD_OUT);
      await shop.page.evaluate(() => window.scrollTo(0, 0));
    },
  },
  {
    name: "shop-small-map",
    async prepare({ page }) {
      await page.getByRole("button", { name: "Small map" }).click();
    },
  },
  {
    name: "shop-map-outage",
    async prepare(shop, store) {
      const { page } = shop;
      await shop.signIn("CUSTOMER_002");
      // What a group has not read is known once it has read something.
      await placeOrder(shop, "PRODUCT_006");
      await shop.untilStatus("confirmed");
      await store.process("inventory").stop();
      await shop.goTo("figures");
      await page.getByLabel("restock for them first").uncheck();
      await page.getByRole("button", { name: "Place 50 orders" }).click();
      await page.locator('[data-load="running"]').waitFor();
      await page.locator('[data-load="idle"]').waitFor();
      for (const name of ["api-gateway", "order"]) {
        await page.locator(`[data-process="${name}"] .map-badge`).waitFor({ state: "detached" });
      }
      store.process("notification").pause();
      // A real crash lasts for less than the pictures take.
      await page.route("**/processes", async (route) => {
        const response = await route.fetch();
        const crashed = (await response.text()).replace(
          /("name":"order","state":)"ready"/,
          '$1"backing-off"',
        );
        await route.fulfill({ response, body: crashed });
      });
      await shop.goTo("");
      await shop.processLight("order", "backing-off").waitFor();
      await shop.processLight("notification", "paused").waitFor();
      await page.locator('g:has([data-line="inventory"]) > .map-unread').nth(7).waitFor();
    },
  },
  {
    name: "sign-in",
    async prepare({ page }) {
      await page.locator("header summary", { hasText: "Sign in" }).click();
    },
  },
  {
    name: "session-ended",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_002");
      await shop.page.route("**/orders", (route) => route.fulfill({ status: 401, json: {} }));
      await shop.goTo("basket");
      await shop.checkOut();
      await shop.goTo("");
      await shop.page.getByRole("button", { name: "Sign in again as CUSTOMER_001" }).waitFor();
    },
  },
  {
    name: "basket-empty",
    async prepare(shop) {
      await shop.goTo("basket");
    },
  },
  {
    name: "basket-signed-out",
    async prepare(shop) {
      await shop.add("PRODUCT_001");
      await shop.goTo("basket");
    },
  },
  {
    name: "basket",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_001", 2);
      await shop.add(SOLD_OUT);
      await shop.goTo("basket");
    },
  },
  {
    name: "unknown-address",
    async prepare({ page }) {
      await page.goto("/#/nowhere");
      await page.getByText("There is nothing at this address").waitFor();
    },
  },
  {
    name: "shop-without-supervisor",
    async prepare(shop) {
      await withoutSupervisor(shop.page);
      await shop.page.reload();
      await shop.page.getByText("The store is open.").waitFor();
    },
  },
  {
    name: "admin-without-supervisor",
    async prepare(shop) {
      await withoutSupervisor(shop.page);
      await shop.page.reload();
      await shop.goTo("admin");
      await shop.page.getByText("This store runs without a supervisor").waitFor();
    },
  },
  {
    name: "shop-offline",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_001");
      await shop.untilShellIsKept();
      await store.process("api-gateway").stop();
      await shop.page.reload();
      await shop.processLight("api-gateway", "stopped").waitFor();
      await shop.page.locator("[data-product]").first().waitFor();
    },
  },
  {
    name: "orders-offline",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_007");
      await placeOrder(shop, "PRODUCT_006");
      await shop.untilStatus("confirmed");
      await shop.goTo("");
      await shop.add("PRODUCT_002");
      await shop.untilShellIsKept();
      await store.process("api-gateway").stop();
      await shop.goTo("basket");
      await shop.checkOut();
      await shop.goTo("orders");
      await shop.page.getByText("These are the orders that this browser knows.").waitFor();
    },
  },
  {
    name: "order-offline",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_007");
      await shop.add("PRODUCT_002");
      await store.process("api-gateway").stop();
      await shop.goTo("basket");
      await shop.checkOut();
      await shop.page.locator('.status-card[data-status="sending"]').waitFor();
      await shop.processLight("api-gateway", "stopped").waitFor();
    },
  },
] as const satisfies readonly View[];
