import { expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Locator } from "playwright-core";
import { slowTest } from "../support/slow-test.ts";
import { untilIdle } from "../support/state.ts";
import { axeViolations } from "./accessibility.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { holdOrders, releaseOrders } from "./held-orders.ts";
import type { Shop } from "./shop.ts";

/** The browser's error for the supervisor's answer while the broker is down. */
const BROKER_DOWN = /^error: Failed to load resource: the server responded with a status of 503/;

describePage("the admin panel", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  const card = (shop: Shop, name: string, state: string): Locator =>
    shop.page.locator(`.process[data-process="${name}"][data-state="${state}"]`);
  const press = (shop: Shop, name: string) => shop.page.getByRole("button", { name, exact: true }).click();
  const count = async (locator: Locator) => Number((await locator.textContent())?.replace(/\D/g, ""));

  slowTest(
    "every process can be stopped, started, killed and paused, and the status shows it",
    async () => {
      const shop = await (await fixture.visit()).open("admin");
      await press(shop, "Stop notification");
      await card(shop, "notification", "stopped").waitFor();
      await shop.processLight("notification", "stopped").waitFor();
      expect(await shop.page.locator(".process-status-text").textContent()).toContain(
        "The notification service is stopped",
      );
      await press(shop, "Start notification");
      await card(shop, "notification", "ready").waitFor();
      // The broker restarts fastest: a service waits until its consumer group has removed the dead member.
      await press(shop, "Kill broker");
      await card(shop, "broker", "ready").getByText("1 restart").waitFor();
      await press(shop, "Pause inventory");
      await shop.processLight("inventory", "paused").waitFor();
      await press(shop, "Resume inventory");
      await card(shop, "inventory", "ready").waitFor();
      await shop.processLight("inventory", "ready").waitFor();
      expect(shop.consoleMessages(BROKER_DOWN)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "every process that the supervisor reports is shown, also one that the page has no text for",
    async () => {
      const shop = await fixture.visit();
      await shop.page.route("**/processes", async (route) => {
        const response = await route.fetch();
        const billing = { name: "billing", state: "stopped", pid: null, restarts: 0 };
        await route.fulfill({ response, json: [...(await response.json()), billing] });
      });
      await shop.open("admin");
      await shop.processLight("billing", "stopped").waitFor();
      expect(await shop.page.locator(".process-status-text").textContent()).toBe(
        "The billing service is stopped. ",
      );
      await card(shop, "billing", "stopped").getByRole("button", { name: "Start billing" }).waitFor();
      expect(shop.consoleMessages()).toEqual([]);
      // The page asks all the time: what is under way would fail when its context closes.
      await shop.page.unrouteAll({ behavior: "wait" });
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "deliver twice: the duplicates are dropped, and the topics show them",
    async () => {
      const shop = await (await fixture.visit()).open();
      await (await shop.signIn("TWICE")).add("PRODUCT_006");
      const orderId = await shop.checkOut();
      await shop.untilStatus("confirmed");
      await shop.goTo("admin");
      await press(shop, `Send again ${orderId}`);
      await shop.page.locator(".outcome", { hasText: "4 messages published again" }).waitFor();
      const duplicates = (name: string) => count(shop.page.locator(`[data-outbox="${name}"] td`).nth(4));
      await eventually(async () => (await duplicates("order")) >= 2, "the copies to be dropped");

      await shop.goTo("admin/topics");
      const topic = shop.page.locator('[data-topic="order.events"]');
      await topic.locator("summary").first().click();
      await eventually(
        async () => (await topic.locator(".records li", { hasText: orderId }).count()) === 4,
        "the copies to be shown",
      );
      await shop.goTo(`orders/${orderId}`);
      await shop.page.locator('[data-type="store.order.placed.v1"]', { hasText: "stored 2 ×" }).waitFor();
      await shop.untilStatus("confirmed");
      await untilIdle(store);
      expect((await (await store.signIn("TWICE")).notifications()).length).toBe(2);
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a dead letter can be shown, edited and replayed",
    async () => {
      const shop = await (await fixture.visit()).open("admin/dead-letters");
      const good = {
        specversion: "1.0",
        id: Bun.randomUUIDv7(),
        source: "api-gateway",
        type: "store.order.place.v1",
        subject: "EDITED",
        time: new Date().toISOString(),
        datacontenttype: "application/json",
        correlationid: "test",
        causationid: "test",
        data: {
          orderId: "EDITED",
          customerId: "EDITOR",
          items: [{ productId: "PRODUCT_006", quantity: 1, unitPrice: { amount: 650, currency: "EUR" } }],
          total: { amount: 650, currency: "EUR" },
        },
      };
      const broken = JSON.stringify({ ...good, data: { ...good.data, customerId: 7 } });
      await store.records.write([
        { topic: "order.commands", key: Buffer.from("EDITED"), value: Buffer.from(broken) },
      ]);
      const deadLetter = shop.page.locator("[data-dead-letter]", { hasText: "EDITED" });
      await deadLetter.locator("summary").click();
      await deadLetter.getByText("/customerId").first().waitFor();
      const message = deadLetter.getByLabel("The message");
      expect(await axeViolations(shop.page)).toEqual([]);
      expect(JSON.parse(await message.inputValue())).toMatchObject({ data: { customerId: 7 } });
      await deadLetter.getByRole("button", { name: "Replay" }).click();
      await deadLetter.getByText("It failed again: ").waitFor();
      await message.fill(JSON.stringify(good));
      await deadLetter.getByRole("button", { name: "Save the edit" }).click();
      await deadLetter.getByText("Saved beside what came").waitFor();
      await deadLetter.getByRole("button", { name: "Replay" }).click();
      await deadLetter.waitFor({ state: "detached" });
      expect(await (await store.signIn("EDITOR")).until("EDITED", "confirmed")).toMatchObject({
        customerId: "EDITOR",
      });
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "the page stays responsive during 500 orders, and renders only the visible rows",
    async () => {
      const shop = await fixture.visit();
      await holdOrders(shop.page, 250);
      await (await shop.open()).signIn("CROWD");
      await shop.goTo("figures");
      await shop.page.getByLabel("restock for them first").uncheck();
      await press(shop, "Place 500 orders");
      await shop.page.locator('[data-load="running"]').waitFor();
      await shop.goTo("");
      await shop.add("PRODUCT_009", 3);
      const listed = () => shop.page.locator(".summary").getAttribute("aria-label");
      const look = async () => {
        await shop.page.getByRole("link", { name: "Orders", exact: true }).click();
        await shop.page.locator(".order-row").first().waitFor();
        return listed();
      };
      expect(await look()).not.toBe("500 orders");
      await releaseOrders(shop.page);
      await eventually(async () => {
        if ((await look()) === "500 orders") return true;
        await shop.page.getByRole("link", { name: "Shop", exact: true }).click();
        await shop.page.getByRole("button", { name: "One Milk jug more" }).first().click();
        return false;
      }, "every order to be listed");
      expect(await shop.page.locator(".order-row").count()).toBeLessThan(60);
      await shop.page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
      const customer = await store.signIn("CROWD");
      await eventually(
        async () =>
          (await customer.allOrders()).every(({ status }) => ["confirmed", "backordered"].includes(status)),
        "every order to be decided",
      );
      const decided = await customer.allOrders();
      expect(decided).toHaveLength(500);
      const shown = (status: string) =>
        shop.page.locator(`.summary li:has([data-status="${status}"])`).textContent();
      for (const [status, word] of [
        ["confirmed", "confirmed"],
        ["backordered", "waiting"],
      ] as const) {
        const expected = decided.filter((order) => order.status === status).length;
        await eventually(
          async () => (await shown(status)) === `${word} ${expected}`,
          `${expected} ${word} orders to be shown`,
        );
      }
      await shop.goTo("figures");
      await shop.page
        .locator("[data-totals]", { hasText: "500 orders accepted" })
        .waitFor({ state: "attached" });
      // After a reload they are loaded page by page.
      await (await shop.goTo("orders")).page.reload();
      for (const orders of ["50 orders", "100 orders"]) {
        await eventually(async () => (await listed()) === orders, orders);
        await press(shop, "Show older orders");
      }
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
