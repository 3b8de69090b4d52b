import { expect } from "bun:test";
import { deadLetterTopic } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { slowTest } from "../support/slow-test.ts";
import { axeViolations } from "./accessibility.ts";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { type Shop, withoutSupervisor } from "./shop.ts";

describePage("the page for operators", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  const press = (shop: Shop, name: string) => shop.page.getByRole("button", { name, exact: true }).click();
  const attention = (shop: Shop) => shop.page.getByRole("region", { name: "Needs attention" });

  slowTest(
    "one line says what needs attention, and leads there",
    async () => {
      const shop = await (await fixture.visit()).open("admin/stock");
      const line = attention(shop);
      await line.getByText("Nothing needs attention.").waitFor();
      const height = (await line.boundingBox())?.height;
      await store.process("notification").stop();
      await store.records.write([
        { topic: "order.commands", key: Buffer.from("ATTENTION"), value: Buffer.from("no message") },
      ]);
      await line.getByRole("link", { name: "notification is stopped" }).waitFor();
      await line.getByRole("link", { name: "1 dead letter" }).click();
      await shop.page.locator("[data-dead-letter]", { hasText: "ATTENTION" }).waitFor();
      expect(await shop.page.title()).toStartWith("Dead letters");
      // Unread for longer than ten seconds, by the clock of the supervisor.
      let isLate = false;
      await shop.page.route("**/figures", async (route) => {
        const response = await route.fetch();
        const figures = await response.json();
        figures.services[0].problems = ["2 outgoing messages are parked. Release them."];
        figures.services[1].problems = ["A partition is stopped. Decide about it."];
        figures.lag = { ...figures.lag, inventory: 3 };
        if (isLate) figures.at += 11_000;
        isLate = true;
        await route.fulfill({ response, json: figures });
      });
      await line.getByRole("link", { name: /: 2 outgoing messages are parked\. Release them\.$/ }).waitFor();
      await line.getByRole("link", { name: "late: inventory" }).waitFor();
      expect((await line.boundingBox())?.height).toBe(height);
      expect(await axeViolations(shop.page)).toEqual([]);
      await line.getByRole("link", { name: /: A partition is stopped/ }).click();
      await shop.page.locator("[data-outbox]").first().waitFor();
      await shop.page.unrouteAll({ behavior: "wait" });
      await store.process("notification").start();
      await line.getByText("notification").waitFor({ state: "detached" });
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "what a service says is wrong, and what to do, is in that line and at its process, until it is mended",
    async () => {
      const topic = deadLetterTopic("notification");
      const limit = async (settings: Readonly<Record<string, string>>) => {
        await store.records.configure(topic.name, { ...topic.config, ...settings });
        // It looks at its topics when it starts.
        await store.process("notification").stop();
        await store.process("notification").start();
      };
      const shop = await (await fixture.visit()).open("admin");
      const sentence =
        /The topic notification\.dead-letters: max\.message\.bytes is 1000: messages may have \d+ bytes\. Correct the topic/;
      await limit({ "max.message.bytes": "1000" });
      await attention(shop).getByRole("link", { name: sentence }).waitFor();
      const about = shop.page.locator('.process[data-process="notification"] .process-about');
      await about.filter({ hasText: sentence }).waitFor();
      expect(await axeViolations(shop.page)).toEqual([]);
      await limit({});
      await attention(shop).getByRole("link", { name: sentence }).waitFor({ state: "detached" });
      await about.filter({ hasText: "Tells customers, over the WebSocket." }).waitFor();
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "no action on a process moves its buttons or its neighbours",
    async () => {
      for (const viewport of [
        { width: 1280, height: 900 },
        { width: 390, height: 844 },
      ]) {
        const shop = await (await fixture.visit({ viewport })).open("admin");
        const card = (state: string) =>
          shop.page.locator(`.process[data-process="inventory"][data-state="${state}"]`);
        await card("ready").waitFor();
        // Its words change, and could widen the table, a moment after those of the process.
        const depth = shop.page.locator('[data-outbox="inventory"] td').first();
        await depth.waitFor();
        const places = () =>
          shop.page.locator(".process, .process-buttons button, [data-outbox]").evaluateAll((elements) =>
            elements.map((element) => {
              const { x, y, width, height } = element.getBoundingClientRect();
              return [x, y + window.scrollY, width, height].map(Math.round).join(" ");
            }),
          );
        const before = await places();
        for (const [action, state] of [
          ["Pause", "paused"],
          ["Resume", "ready"],
          ["Stop", "stopped"],
          ["Start", "ready"],
        ] as const) {
          await press(shop, `${action} inventory`);
          await card(state).waitFor();
          await depth.filter({ [state === "ready" ? "hasNotText" : "hasText"]: "no answer" }).waitFor();
          expect({ action, places: await places() }).toEqual({ action, places: before });
        }
        await shop.context.close();
      }
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "the whole stock is shown, and no name pushes a control out",
    async () => {
      for (const width of [1280, 390, 320]) {
        const shop = await fixture.visit({ viewport: { width, height: 800 } });
        await shop.page.route("**/products", async (route) => {
          const response = await route.fetch();
          const list: { name: string }[] = await response.json();
          const json = list.map((product, index) =>
            index === 3 ? { ...product, name: "W".repeat(200) } : product,
          );
          await route.fulfill({ response, json });
        });
        await shop.open("admin/stock");
        await shop.page.getByText("W".repeat(200)).waitFor();
        const outside = await shop.page.locator("[data-stock] button, [data-stock] input").evaluateAll(
          (controls) =>
            controls.filter((control) => {
              const { left, right } = control.getBoundingClientRect();
              return left < 0 || right > document.documentElement.clientWidth;
            }).length,
        );
        const hidden = await shop.page
          .locator(".stock-list")
          .evaluate((list) => list.scrollHeight - list.clientHeight);
        const isWide = await shop.page.evaluate(() => document.documentElement.scrollWidth);
        expect({ width, outside, hidden, isWide }).toEqual({ width, outside: 0, hidden: 0, isWide: width });
        expect(await shop.page.locator("[data-stock]").count()).toBe((await store.products()).length);
        await shop.page.unrouteAll({ behavior: "wait" });
        await shop.context.close();
      }
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "an operator restocks what a waiting order lacks; in two tabs or after a reload it counts once, and says so; a customer sees what is missing",
    async () => {
      const customer = await fixture.visit();
      await withoutSupervisor(customer.page);
      await (await customer.open()).signIn("PATIENT");
      const { available } = await store.stock("PRODUCT_012");
      await customer.add("PRODUCT_012", available + 7);
      await customer.add("PRODUCT_006");
      await customer.goTo("basket");
      const orderId = await customer.checkOut();
      await customer.untilStatus("backordered");
      await customer.page
        .locator(".status-text", { hasText: "It waits for 7 × Last year's calendar" })
        .waitFor();
      expect(await customer.page.getByRole("button", { name: "Restock what is missing" }).count()).toBe(0);

      const operator = await (await fixture.visit()).open();
      await operator.signIn("PATIENT");
      const other = await operator.otherTab();
      await store.process("inventory").stop();
      const restockMissing = async (shop: Shop, answer: string) => {
        await press(shop, "Restock what is missing");
        await shop.page
          .locator(".outcome", { hasText: `${answer} Orders that came earlier are served first.` })
          .waitFor();
        expect(await shop.page.evaluate(() => document.activeElement?.textContent)).toBe(
          "Restock what is missing",
        );
      };
      const ordered = "New stock is on the way.";
      const repeated = "It was asked for before, and counts once. Press again to add as much once more.";
      for (const shop of [operator, other]) await shop.open(`orders/${orderId}`);
      await restockMissing(operator, ordered);
      await restockMissing(other, repeated);
      await operator.page.reload();
      await restockMissing(operator, repeated);
      await restockMissing(operator, ordered);
      await store.process("inventory").start();
      for (const shop of [operator, other, customer]) await shop.untilStatus("confirmed");
      await eventually(
        async () => (await store.stock("PRODUCT_012")).available === 7,
        "the second restock to be handled",
      );
      expect(await store.stock("PRODUCT_012")).toMatchObject({ onHand: available + 14 });
      expect(operator.consoleMessages(LOST_CONNECTIONS)).toEqual([]);
      await customer.context.close();
      await operator.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "back and forward return to where the view was scrolled, also after a reload; a new view starts at its top",
    async () => {
      const shop = await (await fixture.visit({ viewport: { width: 390, height: 700 } })).open();
      const { page } = shop;
      const scrolled = () => page.evaluate(() => Math.round(window.scrollY));
      const untilAt = (y: number) => eventually(async () => (await scrolled()) === y, `the page at ${y}`);
      await shop.product("PRODUCT_012").waitFor();
      const link = page.getByRole("link", { name: "Behind the counter" });
      await page.evaluate(() => window.scrollTo(0, 900));
      await untilAt(900);
      await link.evaluate((element) => (element as HTMLElement).click());
      await page.locator("[data-outbox]").first().waitFor();
      expect(await scrolled()).toBe(0);
      await page.evaluate(() => window.scrollTo(0, 400));
      await untilAt(400);
      await page
        .getByRole("link", { name: "Orders", exact: true })
        .evaluate((element) => (element as HTMLElement).click());
      await untilAt(0);
      await page.goBack();
      await untilAt(400);
      await page.goBack();
      await untilAt(900);
      await page.reload();
      await shop.product("PRODUCT_012").waitFor();
      await untilAt(900);
      await page.goForward();
      await untilAt(400);
      // A link to the view that is shown leads nowhere, and the position is recorded further on.
      await link.evaluate((element) => (element as HTMLElement).click());
      await page.evaluate(() => window.scrollTo(0, 200));
      await untilAt(200);
      await page
        .getByRole("link", { name: "Orders", exact: true })
        .evaluate((element) => (element as HTMLElement).click());
      await untilAt(0);
      await page.goBack();
      await untilAt(200);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "the sections are reached by the keyboard, which keeps its place",
    async () => {
      const shop = await (await fixture.visit()).open("admin");
      const { page } = shop;
      const tabs = page.getByRole("navigation", { name: "Behind the counter" });
      await tabs.getByRole("link", { name: "Overview" }).focus();
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.locator("[data-stock]").first().waitFor();
      const focused = () => page.evaluate(() => document.activeElement?.textContent);
      expect(await focused()).toBe("Stock");
      expect(await tabs.locator('[aria-current="page"]').textContent()).toBe("Stock");
      const row = page.locator('[data-stock="PRODUCT_001"]');
      const restock = row.getByRole("button");
      await restock.press("Enter");
      await row.getByText("Restock of 10 accepted.").waitFor();
      expect(await focused()).toBe("Restock");
      await page.goBack();
      await page.locator("[data-outbox]").first().waitFor();
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
