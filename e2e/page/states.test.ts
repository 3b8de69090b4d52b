import { describe, expect, test } from "bun:test";
import type { Locator } from "playwright-core";
import { axeViolations } from "./accessibility.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import type { Shop } from "./shop.ts";

/* What axe finds in states of the page that come and go: orders that wait or fail, dialogs, the tour, an outage. */

const describeSlow = process.env.SLOW_TESTS === "true" ? describePage : describe.skip;

const sizes = [
  { width: 1280, height: 900 },
  { width: 390, height: 844 },
];

/** In light and dark, wide and on a phone. */
async function expectNoViolation({ page }: Shop, state: string): Promise<void> {
  for (const size of sizes) {
    await page.setViewportSize(size);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      const violations = await axeViolations(page);
      expect({ state, width: size.width, colorScheme, violations }).toEqual({
        state,
        width: size.width,
        colorScheme,
        violations: [],
      });
    }
  }
}

describeSlow("axe finds no violation", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  const answerTo = (shop: Shop, method: string, status: number, detail: string) =>
    shop.page.route("**/orders", (route) =>
      route.request().method() === method
        ? route.fulfill({ status, contentType: "application/problem+json", json: { detail } })
        : route.fallback(),
    );

  test(
    "in an order that waits, is on its way, was not taken, or is of a session that has ended",
    async () => {
      const shop = await (await fixture.visit()).open();
      await shop.signIn("STATES");
      await shop.add("PRODUCT_006", 5_000);
      await shop.checkOut();
      await shop.untilStatus("backordered");
      await expectNoViolation(shop, "backordered");
      await answerTo(shop, "POST", 503, "The disk is full.");
      await (await shop.goTo("")).add("PRODUCT_009");
      await shop.goTo("basket");
      const orderId = await shop.checkOut();
      await shop.page.getByText("The store cannot take it just now").waitFor();
      await expectNoViolation(shop, "sending");
      await answerTo(shop, "POST", 409, "The store has changed.");
      await shop.untilStatus("refused");
      await expectNoViolation(shop, "refused");
      await shop.goTo("basket");
      await expectNoViolation(shop, "refused, in the basket");
      await shop.page.evaluate(() => localStorage.setItem("store.session", '{"customerId":"STATES"}'));
      await shop.page.reload();
      await shop.page.getByRole("button", { name: "Sign in again as STATES" }).waitFor();
      await expectNoViolation(shop, "a session that has ended");
      await shop.goTo(`orders/${orderId}`);
      await expectNoViolation(shop, "signed out, an order");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "on the map and in the views of operators while parts are stopped and paused, and without the gateway",
    async () => {
      const shop = await (await fixture.visit()).open();
      await shop.signIn("OUTAGE");
      // Whoever has read nothing yet has nothing unread.
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      await shop.goTo("");
      await store.process("inventory").stop();
      store.process("notification").pause();
      try {
        await (await store.signIn("OUTAGE")).place({
          orderId: "PILE",
          items: [{ productId: "PRODUCT_006", quantity: 1 }],
        });
        await shop.page.locator(".map-unread").first().waitFor();
        await shop.processLight("notification", "paused").waitFor();
        await expectNoViolation(shop, "large map");
        for (const view of ["admin", "admin/stock", "figures", "orders"] as const) {
          await shop.goTo(view);
          await expectNoViolation(shop, view);
        }
        await shop.goTo("orders/PILE");
        await shop.untilStatus("pending");
        await expectNoViolation(shop, "pending");
        await shop.page.route(/\/(products|orders)\b/, (route) => route.abort());
        await shop.goTo("");
        await shop.page
          .getByText("Prices and stock are as they were when the store last answered.")
          .waitFor();
        for (const view of ["", "basket", "orders", "orders/PILE"] as const) {
          await shop.goTo(view);
          await expectNoViolation(shop, `without the gateway: ${view}`);
        }
      } finally {
        store.process("notification").resume();
        await store.process("inventory").start();
      }
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "in a dead letter: closed, open, edited, before and after its discard",
    async () => {
      await store.records.write([
        { topic: "order.commands", key: Buffer.from("STATES"), value: Buffer.from("not a message") },
      ]);
      const shop = await (await fixture.visit()).open("admin/dead-letters");
      const row = shop.page.locator("[data-dead-letter]", { hasText: "STATES" });
      const press = (button: Locator) => button.click();
      await row.waitFor();
      await expectNoViolation(shop, "closed");
      await row.locator("summary").click();
      await row.getByLabel("The message").waitFor();
      await expectNoViolation(shop, "open");
      await row.getByLabel("The message").fill("{");
      await press(row.getByRole("button", { name: "Save the edit" }));
      await row.getByRole("alert").waitFor();
      await expectNoViolation(shop, "edited, with an error");
      await press(row.getByRole("button", { name: "Discard", exact: true }));
      await expectNoViolation(shop, "the dialog");
      await shop.page.clock.install();
      await press(row.getByRole("button", { name: "Discard it" }));
      await row.getByRole("button", { name: "Undo" }).waitFor();
      await expectNoViolation(shop, "undo");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "in the tour's player: while a step waits for the visitor, at its end, and in the list afterwards",
    async () => {
      const shop = await (await fixture.visit()).open("tour");
      const { page } = shop;
      const next = page.locator('.player-controls .primary[aria-disabled="false"]');
      await page.getByRole("button", { name: /^Send everything again.*step by step/ }).click();
      await next.waitFor();
      await expectNoViolation(shop, "the first step");
      while ((await page.locator(".player .verdict").count()) === 0) {
        await next.click();
        await next.waitFor();
      }
      await expectNoViolation(shop, "held");
      await page.getByRole("button", { name: "All promises" }).first().click();
      await page.locator(".promise").first().waitFor();
      await expectNoViolation(shop, "the list");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
