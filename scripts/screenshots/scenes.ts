import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";
import type { Page } from "playwright-core";

interface SceneContext {
  /** The shop; nobody is signed in. */
  readonly page: Page;
  readonly store: StoreSupervisor;
}

interface Scene {
  /** The name of the screenshot's file. */
  readonly name: string;
  readonly width: 390 | 1280;
  readonly scheme: "light" | "dark";
  /** Brings the page into the state of the screenshot. */
  readonly show: (context: SceneContext) => Promise<void>;
}

async function signIn(page: Page, customerId: string): Promise<void> {
  await page.locator("header summary").click();
  await page.getByRole("banner").getByLabel("or as somebody new").fill(customerId);
  await page.getByRole("banner").getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("banner").getByText(customerId, { exact: true }).waitFor();
}

async function add(page: Page, productId: string, quantity = 1): Promise<void> {
  const product = page.locator(`[data-product="${productId}"]`);
  await product.getByRole("button", { name: /^(Add|Order and wait): / }).click();
  await product.getByRole("spinbutton").fill(String(quantity));
  await product.getByRole("spinbutton").blur();
}

async function goTo(page: Page, view: string): Promise<void> {
  await page.evaluate((hash) => {
    window.location.hash = hash;
  }, `#/${view}`);
  await page.locator("h1").first().waitFor();
}

async function order(page: Page, status: string): Promise<void> {
  await goTo(page, "basket");
  await page.getByRole("button", { name: "Place the order" }).click();
  await page.locator(`.status-card[data-status="${status}"]`).waitFor();
}

const inView = (page: Page) => page.evaluate(() => window.scrollTo(0, 0));

export const scenes: readonly Scene[] = [
  {
    name: "shop",
    width: 1280,
    scheme: "light",
    async show({ page }) {
      await signIn(page, "CUSTOMER_001");
      await add(page, "PRODUCT_001", 2);
      await add(page, "PRODUCT_003");
      await add(page, "PRODUCT_012");
      await inView(page);
    },
  },
  {
    name: "shop-phone",
    width: 390,
    scheme: "dark",
    async show({ page }) {
      await signIn(page, "CUSTOMER_002");
      await add(page, "PRODUCT_002", 2);
      await inView(page);
    },
  },
  {
    name: "order-waiting",
    width: 1280,
    scheme: "dark",
    async show({ page }) {
      await signIn(page, "CUSTOMER_001");
      await add(page, "PRODUCT_009");
      await add(page, "PRODUCT_012", 2);
      await order(page, "backordered");
      await page.locator('[data-type="store.order.backordered.v1"]').waitFor();
    },
  },
  {
    name: "order-phone",
    width: 390,
    scheme: "light",
    async show({ page }) {
      await signIn(page, "CUSTOMER_003");
      await add(page, "PRODUCT_007");
      await order(page, "confirmed");
      await page.locator('[data-type="store.order.confirmed.v1"]').waitFor();
    },
  },
  {
    name: "counter",
    width: 1280,
    scheme: "light",
    async show({ page, store }) {
      await signIn(page, "CUSTOMER_001");
      await store.process("inventory").stop();
      await add(page, "PRODUCT_002");
      await order(page, "pending");
      await goTo(page, "counter");
      await page.locator('.process[data-process="inventory"][data-state="stopped"]').waitFor();
      await page.locator('[data-mail="order"]').waitFor();
    },
  },
  {
    name: "figures",
    width: 1280,
    scheme: "dark",
    async show({ page }) {
      await signIn(page, "CUSTOMER_500");
      await goTo(page, "figures");
      for (const size of ["50 orders", "500 orders"]) {
        await page.getByRole("button", { name: `Place ${size}` }).click();
        await page.locator('[data-load="running"]').waitFor();
        await page.locator('[data-load="idle"]').waitFor();
      }
      await page.locator("[data-totals]", { hasText: "550 confirmed" }).waitFor({ state: "attached" });
    },
  },
  {
    name: "tour",
    width: 1280,
    scheme: "light",
    async show({ page }) {
      await goTo(page, "tour");
      for (const number of [1, 2]) {
        const promise = page.locator(`[data-promise="${number}"]`);
        await promise.getByRole("button").click();
        await page.locator(`[data-promise="${number}"][data-state="held"]`).waitFor();
        await page.locator(".promise button:not([disabled])").first().waitFor();
      }
      await page.locator(".lamps-text", { hasText: "Everything runs." }).waitFor();
    },
  },
];
