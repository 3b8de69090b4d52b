import type { Shop } from "@distributed-messaging/e2e/page/shop";
import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";

/** The page in one state. Whoever adds a view or a state to the page adds it here, too. */
export interface View {
  /** In the names of its pictures. */
  readonly name: string;
  /** Brings the page into the state. @param shop the shop, nobody signed in */
  readonly prepare: (shop: Shop, store: StoreSupervisor) => Promise<void>;
}

/** One order may wait, so that the second one is rejected. */
export const VIEW_SETTINGS = { MAX_WAITING_ORDERS: "1" };

/** Of this product, the demo catalogue has none. */
const SOLD_OUT = "PRODUCT_012";

async function placeOrder(shop: Shop, ...products: string[]): Promise<void> {
  for (const product of products) {
    await shop.goTo("");
    await shop.add(product);
  }
  await shop.goTo("basket");
  await shop.checkOut();
}

async function untilMessage(shop: Shop, type: string): Promise<void> {
  await shop.page.locator(`[data-type="${type}"]`).waitFor();
}

async function figuresOf(shop: Shop, sizes: readonly string[]): Promise<void> {
  await shop.goTo("figures");
  for (const size of sizes) {
    await shop.page.getByRole("button", { name: `Place ${size}` }).click();
    await shop.page.locator('[data-load="running"]').waitFor();
    await shop.page.locator('[data-load="idle"]').waitFor();
  }
}

export const views = [
  {
    name: "shop",
    prepare: async () => {},
  },
  {
    name: "shop-basket",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_001", 2);
      await shop.add("PRODUCT_003");
      await shop.add("PRODUCT_012");
      await shop.page.evaluate(() => window.scrollTo(0, 0));
    },
  },
  {
    name: "sign-in",
    async prepare(shop) {
      await shop.page.locator("header summary", { hasText: "Sign in" }).click();
    },
  },
  {
    name: "basket-empty",
    async prepare(shop) {
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
    name: "order-accepted",
    async prepare(shop, store) {
      await store.process("order").stop();
      await shop.signIn("CUSTOMER_001");
      await placeOrder(shop, "PRODUCT_001");
      await shop.untilStatus("accepted");
    },
  },
  {
    name: "order-pending",
    async prepare(shop, store) {
      await store.process("inventory").stop();
      await shop.signIn("CUSTOMER_001");
      await placeOrder(shop, "PRODUCT_001");
      await shop.untilStatus("pending");
    },
  },
  {
    name: "order-confirmed",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_003");
      await placeOrder(shop, "PRODUCT_007");
      await shop.untilStatus("confirmed");
      await untilMessage(shop, "store.order.confirmed.v1");
    },
  },
  {
    name: "order-backordered",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_004");
      await placeOrder(shop, "PRODUCT_009", SOLD_OUT);
      await shop.untilStatus("backordered");
      await untilMessage(shop, "store.order.backordered.v1");
    },
  },
  {
    name: "order-rejected",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_005");
      await placeOrder(shop, SOLD_OUT);
      await shop.untilStatus("backordered");
      await placeOrder(shop, SOLD_OUT);
      await shop.untilStatus("rejected");
    },
  },
  {
    name: "order-cancelled",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_006");
      await placeOrder(shop, SOLD_OUT);
      await shop.untilStatus("backordered");
      await shop.page.getByRole("button", { name: /^Cancel/ }).click();
      await shop.untilStatus("cancelled");
    },
  },
  {
    name: "order-unknown",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.goTo("orders/no-such-order");
      await shop.page.getByText("No such order on this account.").waitFor();
    },
  },
  {
    name: "orders",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_005");
      await shop.goTo("orders");
      await shop.page.locator("[data-status='rejected']").first().waitFor();
    },
  },
  {
    name: "orders-signed-out",
    async prepare(shop) {
      await shop.goTo("orders");
    },
  },
  {
    name: "admin",
    async prepare(shop) {
      await shop.goTo("admin");
      await shop.page.locator('.process[data-process="order"][data-state="ready"]').waitFor();
    },
  },
  {
    name: "admin-stock",
    async prepare(shop) {
      await shop.goTo("admin/stock");
      await shop.page.locator("[data-stock]").first().waitFor();
    },
  },
  {
    name: "admin-topics",
    async prepare(shop) {
      await shop.goTo("admin/topics");
      await shop.page.locator("[data-topic]").first().waitFor();
    },
  },
  {
    name: "admin-inventory-stopped",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_001");
      await store.process("inventory").stop();
      await placeOrder(shop, "PRODUCT_002");
      await shop.untilStatus("pending");
      await shop.goTo("admin");
      await shop.page.locator('.process[data-process="inventory"][data-state="stopped"]').waitFor();
      await shop.page.locator('[data-outbox="order"]').waitFor();
    },
  },
  {
    name: "figures-empty",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_500");
      await shop.goTo("figures");
    },
  },
  {
    name: "figures",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_500");
      await figuresOf(shop, ["50 orders", "500 orders"]);
      await shop.page.locator("[data-totals]", { hasText: "550 confirmed" }).waitFor({ state: "attached" });
    },
  },
  {
    name: "tour",
    async prepare(shop) {
      await shop.goTo("tour");
    },
  },
  {
    name: "tour-held",
    async prepare(shop) {
      await shop.goTo("tour");
      for (const number of [1, 2]) {
        const promise = shop.page.locator(`[data-promise="${number}"]`);
        await promise.getByRole("button", { name: /^All at once: / }).click();
        await shop.page.locator(`[data-promise="${number}"][data-state="held"]`).waitFor();
        await shop.page.locator(".promise button:not([disabled])").first().waitFor();
      }
      await shop.page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
    },
  },
  {
    name: "offline",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_001");
      await store.process("api-gateway").stop();
      await shop.goTo("orders");
      await shop.page.locator('.map-part[data-process="api-gateway"][data-state="stopped"]').waitFor();
    },
  },
] as const satisfies readonly View[];

export type ViewName = (typeof views)[number]["name"];
