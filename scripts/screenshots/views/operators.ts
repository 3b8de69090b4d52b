import type { Shop } from "@distributed-messaging/e2e/page/shop";
import { cloudEvent } from "@distributed-messaging/e2e/support/bad-messages";
import { Records } from "@distributed-messaging/e2e/support/records";
import type { StoreSupervisor } from "@distributed-messaging/supervisor/store";
import type { Locator } from "playwright-core";
import { untilMapRests, untilNothingWaits, untilOnlyWaits } from "../map-rests.ts";
import { placeOrder, type View } from "./view.ts";

async function place({ page }: Shop, orders: string): Promise<void> {
  await page.getByRole("button", { name: `Place ${orders}` }).click();
  await page.locator('[data-load="running"]').waitFor();
  await page.locator('[data-load="idle"]').waitFor();
}

async function untilConfirmed({ page }: Shop, orders: number): Promise<void> {
  await page.locator("[data-totals]", { hasText: `${orders} confirmed` }).waitFor({ state: "attached" });
}

async function untilNothingUnread({ page }: Shop): Promise<void> {
  await page.locator('[data-figure="all groups"]', { hasText: /^0$/ }).waitFor();
  await page.locator('.chart-line[d*="L"]').first().waitFor({ state: "attached" });
  await untilNothingWaits(page);
}

/** The stores that have dead letters already. */
const parkedIn = new WeakSet<StoreSupervisor>();

/** Opens the dead letters: one that cannot be handled, and one that waits behind it. */
async function openDeadLetters(shop: Shop, store: StoreSupervisor): Promise<Locator> {
  if (!parkedIn.has(store)) {
    parkedIn.add(store);
    const orderId = "ORDER_4711";
    const price = { amount: 650, currency: "EUR" };
    const items = [{ productId: "PRODUCT_006", quantity: 1, unitPrice: price }];
    const record = (type: string, data: object) => ({
      topic: "order.commands",
      key: Buffer.from(orderId),
      value: Buffer.from(JSON.stringify(cloudEvent({ type, subject: orderId, data }))),
    });
    await new Records(store.brokers).write([
      record("store.order.place.v1", { orderId, customerId: 7, items, total: price }),
      record("store.order.cancel.v1", { orderId, reason: "customer_request" }),
    ]);
  }
  await shop.goTo("admin/dead-letters");
  const letters = shop.page.locator("[data-dead-letter]");
  await letters.nth(1).waitFor();
  await untilMapRests(shop.page);
  return letters.first();
}

async function openDeadLetter(shop: Shop, store: StoreSupervisor): Promise<Locator> {
  const letter = await openDeadLetters(shop, store);
  await letter.locator("summary").click();
  await letter.getByLabel("The message").waitFor();
  return letter;
}

export const operatorViews = [
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
      await shop.page.getByRole("button", { name: "Restock Tamper" }).click();
      await shop.page.locator(".outcome", { hasText: "Restock of 10 accepted." }).waitFor();
      await untilNothingWaits(shop.page);
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
    name: "admin-topic",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_001");
      await placeOrder(shop, "PRODUCT_002");
      await shop.untilStatus("confirmed");
      await shop.goTo("admin/topics");
      const topic = shop.page.locator('[data-topic="order.events"]');
      await topic.locator("summary").first().click();
      await topic.locator(".records summary").first().click();
      await untilNothingWaits(shop.page);
      await topic.locator(".alarming").first().waitFor({ state: "detached" });
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
      await shop.page.locator('[data-outbox="inventory"]', { hasText: "no answer" }).waitFor();
      await untilOnlyWaits(shop.page, "inventory");
    },
  },
  {
    name: "figures-signed-out",
    async prepare(shop) {
      await shop.goTo("figures");
      await untilNothingUnread(shop);
    },
  },
  {
    name: "figures-empty",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_500");
      await shop.goTo("figures");
      await untilNothingUnread(shop);
    },
  },
  {
    name: "figures",
    async prepare(shop) {
      await shop.signIn("CUSTOMER_500");
      await shop.goTo("figures");
      await place(shop, "50 orders");
      await place(shop, "500 orders");
      await untilConfirmed(shop, 550);
      await untilNothingUnread(shop);
    },
  },
  {
    name: "figures-outage",
    async prepare(shop, store) {
      await shop.signIn("CUSTOMER_500");
      await shop.goTo("figures");
      await place(shop, "50 orders");
      await untilConfirmed(shop, 50);
      await store.process("inventory").stop();
      await place(shop, "50 orders");
      await shop.page.locator(".chart-outage").nth(8).waitFor({ state: "attached" });
      await store.process("inventory").start();
      await untilConfirmed(shop, 100);
      await untilNothingUnread(shop);
    },
  },
  {
    name: "dead-letters-none",
    async prepare(shop) {
      await shop.goTo("admin/dead-letters");
      await shop.page.getByText("There are none.").waitFor();
    },
  },
  {
    name: "dead-letters",
    async prepare(shop, store) {
      await openDeadLetters(shop, store);
    },
  },
  {
    name: "dead-letter",
    async prepare(shop, store) {
      await openDeadLetter(shop, store);
    },
  },
  {
    name: "dead-letter-edited",
    async prepare(shop, store) {
      const letter = await openDeadLetter(shop, store);
      const text = letter.getByLabel("The message");
      await text.fill((await text.inputValue()).replace('"customerId": 7', '"customerId": 8'));
      await letter.getByRole("button", { name: "Save and replay" }).click();
      await letter.getByRole("alert").waitFor();
      await text.evaluate((field) => field.scrollTo(0, 0));
    },
  },
  {
    name: "dead-letter-dialog",
    async prepare(shop, store) {
      const letter = await openDeadLetter(shop, store);
      await letter.getByRole("button", { name: "Discard" }).click();
    },
  },
  {
    name: "dead-letter-undo",
    async prepare(shop, store) {
      const letter = await openDeadLetter(shop, store);
      // The pictures take longer than it can be undone.
      await shop.page.clock.install();
      await letter.getByRole("button", { name: "Discard" }).click();
      await letter.getByRole("button", { name: "Discard it" }).click();
      await letter.getByRole("button", { name: "Undo" }).waitFor();
      await shop.page.clock.pauseAt(Date.now() + 1_000);
    },
  },
] as const satisfies readonly View[];
