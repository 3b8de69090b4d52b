import type { Shop } from "@distributed-messaging/e2e/page/shop";
import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";

interface Scene {
  /** The name of the file. */
  readonly name: string;
  readonly device: "desktop" | "phone";
  readonly colorScheme: "light" | "dark";
  /** Brings the page into the state of the picture. @param shop the shop, nobody signed in */
  readonly prepare: (shop: Shop, store: StoreSupervisor) => Promise<void>;
}

async function placeOrder(shop: Shop, status: "pending" | "backordered" | "confirmed"): Promise<void> {
  await shop.goTo("basket");
  await shop.checkOut();
  await shop.untilStatus(status);
}

const scrollToTop = (shop: Shop) => shop.page.evaluate(() => window.scrollTo(0, 0));

export const scenes: readonly Scene[] = [
  {
    name: "shop",
    device: "desktop",
    colorScheme: "light",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_001", 2);
      await shop.add("PRODUCT_003");
      await shop.add("PRODUCT_012");
      await scrollToTop(shop);
    },
  },
  {
    name: "shop-phone",
    device: "phone",
    colorScheme: "dark",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_002");
      await shop.add("PRODUCT_002", 2);
      await scrollToTop(shop);
    },
  },
  {
    name: "order-waiting",
    device: "desktop",
    colorScheme: "dark",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await shop.add("PRODUCT_009");
      await shop.add("PRODUCT_012", 2);
      await placeOrder(shop, "backordered");
      await shop.page.locator('[data-type="store.order.backordered.v1"]').waitFor();
    },
  },
  {
    name: "order-phone",
    device: "phone",
    colorScheme: "light",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_003");
      await shop.add("PRODUCT_007");
      await placeOrder(shop, "confirmed");
      await shop.page.locator('[data-type="store.order.confirmed.v1"]').waitFor();
    },
  },
  {
    name: "admin",
    device: "desktop",
    colorScheme: "light",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_001");
      await store.process("inventory").stop();
      await shop.add("PRODUCT_002");
      await placeOrder(shop, "pending");
      await shop.goTo("admin");
      await shop.page.locator('.process[data-process="inventory"][data-state="stopped"]').waitFor();
      await shop.page.locator('[data-outbox="order"]').waitFor();
    },
  },
  {
    name: "figures",
    device: "desktop",
    colorScheme: "dark",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_500");
      await shop.goTo("figures");
      for (const size of ["50 orders", "500 orders"]) {
        await shop.page.getByRole("button", { name: `Place ${size}` }).click();
        await shop.page.locator('[data-load="running"]').waitFor();
        await shop.page.locator('[data-load="idle"]').waitFor();
      }
      await shop.page.locator("[data-totals]", { hasText: "550 confirmed" }).waitFor({ state: "attached" });
    },
  },
  {
    name: "tour",
    device: "desktop",
    colorScheme: "light",
    async prepare(shop) {
      await shop.goTo("tour");
      for (const number of [1, 2]) {
        const promise = shop.page.locator(`[data-promise="${number}"]`);
        await promise.getByRole("button").click();
        await shop.page.locator(`[data-promise="${number}"][data-state="held"]`).waitFor();
        await shop.page.locator(".promise button:not([disabled])").first().waitFor();
      }
      await shop.page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
    },
  },
];
