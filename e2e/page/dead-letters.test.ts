import { expect } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Locator, Page } from "playwright-core";
import { cloudEvent } from "../support/bad-messages.ts";
import { slowTest } from "../support/slow-test.ts";
import { axeViolations } from "./accessibility.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import type { Shop } from "./shop.ts";

/** Longer than a discard can be undone. */
const AFTER_UNDO_MS = 8_500;

describePage("dead letters in the admin panel", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  function placing(orderId: string, customerId: unknown) {
    const price = { amount: 650, currency: "EUR" };
    const items = [{ productId: "PRODUCT_006", quantity: 1, unitPrice: price }];
    const data = { orderId, customerId, items, total: price };
    return cloudEvent({ type: "store.order.place.v1", subject: orderId, data });
  }

  /** Stores a command whose customer is a number. */
  function storeWrong(orderId: string): Promise<unknown> {
    const value = Buffer.from(JSON.stringify(placing(orderId, 7)));
    return store.records.write([{ topic: "order.commands", key: Buffer.from(orderId), value }]);
  }

  /** Stores a command whose customer is a number, and opens its dead letter. */
  async function park(orderId: string): Promise<{ shop: Shop; row: Locator; text: Locator }> {
    await storeWrong(orderId);
    const shop = await (await fixture.visit()).open("admin/dead-letters");
    return { shop, ...(await openRow(shop, orderId)) };
  }

  async function openRow(shop: Shop, orderId: string): Promise<{ row: Locator; text: Locator }> {
    const row = shop.page.locator("[data-dead-letter]", { hasText: orderId });
    await row.locator("summary").click();
    const text = row.getByLabel("The message");
    await text.waitFor();
    return { row, text };
  }

  const button = (row: Locator, name: string) => row.getByRole("button", { name, exact: true });
  const parked = (orderId: string) =>
    store.rows<{ replays: number; isEdited: number }>(
      "order",
      "SELECT replays, edited IS NOT NULL AS isEdited FROM dead_letters WHERE key = ?",
      orderId,
    );
  const focused = (page: Page) => page.evaluate(() => document.activeElement?.textContent);

  async function discard(row: Locator): Promise<void> {
    await button(row, "Discard").click();
    await button(row, "Discard it").click();
    await button(row, "Undo").waitFor();
  }

  /** Discards another message. What was to be discarded before it is asked for before it. */
  async function untilLaterIsDiscarded(shop: Shop, orderId: string): Promise<void> {
    await storeWrong(orderId);
    const { row } = await openRow(shop, orderId);
    await discard(row);
    await shop.page.clock.fastForward(AFTER_UNDO_MS);
    await eventually(() => parked(orderId).length === 0, "the later message to be discarded");
  }

  slowTest(
    "a replay runs what is on the screen, or nothing; the focus stays",
    async () => {
      const { shop, row, text } = await park("ON_SCREEN");
      for (const [wrong, why] of [
        ["{", "Not saved: the text is not JSON."],
        ["7", "Not saved: a message is a JSON object."],
        [JSON.stringify(placing("ON_SCREEN", 8)), "/customerId: Expected string"],
      ] as const) {
        await text.fill(wrong);
        await row.getByText("This text is not saved.").waitFor();
        await button(row, "Save and replay").click();
        await row.getByRole("alert").getByText(why).waitFor();
        expect(await focused(shop.page)).toBe("Save and replay");
        expect(parked("ON_SCREEN")).toEqual([{ replays: 0, isEdited: 0 }]);
      }
      expect((await row.getByRole("alert").textContent())?.match(/customerId/g)).toHaveLength(1);
      // What is not saved survives a look at another section.
      await shop.goTo("admin/topics");
      await shop.goTo("admin/dead-letters");
      const again = await openRow(shop, "ON_SCREEN");
      expect(JSON.parse(await again.text.inputValue())).toMatchObject({ data: { customerId: 8 } });
      await again.text.fill(JSON.stringify(placing("ON_SCREEN", "SCREEN")));
      await button(row, "Save and replay").click();
      await row.waitFor({ state: "detached" });
      await eventually(async () => (await focused(shop.page)) === "Dead letters", "the focus on the heading");
      const customer = await store.signIn("SCREEN");
      expect(await customer.until("ON_SCREEN", "confirmed")).toMatchObject({ customerId: "SCREEN" });
      expect(shop.consoleMessages(/422/)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "what another operator has edited meanwhile is neither replayed nor discarded unseen",
    async () => {
      const { shop, row } = await park("TWO_EDIT");
      await shop.page.clock.install();
      const other = await (await fixture.visit()).open("admin/dead-letters");
      const theirs = await openRow(other, "TWO_EDIT");
      // Written before: between the discard and the save little time may pass.
      await theirs.text.fill(JSON.stringify(placing("TWO_EDIT", "THEIRS")));
      await discard(row);
      await button(theirs.row, "Save the edit").click();
      await theirs.row.getByText("Saved beside what came").waitFor();
      await shop.page.clock.fastForward(AFTER_UNDO_MS);
      await row.getByText("It was not discarded. Somebody else has edited").waitFor();
      expect(parked("TWO_EDIT")).toEqual([{ replays: 0, isEdited: 1 }]);

      // This page still has what it showed before.
      const mine = { row, text: row.getByLabel("The message") };
      await mine.text.waitFor();
      await theirs.text.fill(JSON.stringify(placing("TWO_EDIT", "THEIRS_AGAIN")));
      await button(theirs.row, "Save the edit").click();
      await theirs.row.getByText("This text is not saved.").waitFor({ state: "detached" });
      await button(row, "Replay").click();
      await row.getByRole("alert").getByText("Nothing was done: somebody else").waitFor();
      expect(await mine.text.inputValue()).toContain("THEIRS_AGAIN");
      expect(parked("TWO_EDIT")).toEqual([{ replays: 0, isEdited: 1 }]);
      await button(row, "Replay").click();
      await row.waitFor({ state: "detached" });
      await (await store.signIn("THEIRS_AGAIN")).until("TWO_EDIT", "confirmed");
      await shop.context.close();
      await other.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a discard is confirmed first, and can be undone, also by closing the page; the focus stays",
    async () => {
      const { shop, row } = await park("UNDONE");
      const { page } = shop;
      await button(row, "Discard").press("Enter");
      await row.getByRole("dialog", { name: "Discard this message?" }).waitFor();
      expect(await axeViolations(page)).toEqual([]);
      await page.keyboard.press("Escape");
      expect(await focused(page)).toBe("Discard");
      await button(row, "Discard").press("Enter");
      await page.keyboard.press("Enter");
      expect([await row.getByRole("dialog").count(), await focused(page)]).toEqual([0, "Discard"]);
      await page.clock.install();
      await discard(row);
      await eventually(async () => (await focused(page)) === "Undo", "the focus on its undoing");
      expect(await axeViolations(page)).toEqual([]);
      await page.keyboard.press("Enter");
      await button(row, "Discard").waitFor();
      await eventually(async () => (await focused(page))?.includes("UNDONE"), "the focus on the row");
      await untilLaterIsDiscarded(shop, "LATER");
      expect(parked("UNDONE")).toHaveLength(1);
      await discard(row);
      await page.reload();
      await row.waitFor();
      await untilLaterIsDiscarded(shop, "AFTER_RELOAD");
      expect(await button(row, "Undo").count()).toBe(0);
      expect(parked("UNDONE")).toHaveLength(1);
      // Elsewhere on the page the time goes on.
      await openRow(shop, "UNDONE");
      await discard(row);
      await shop.goTo("");
      await page.clock.fastForward(AFTER_UNDO_MS);
      await eventually(() => parked("UNDONE").length === 0, "the message to be discarded");
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a discarded message leaves the list while the supervisor does not answer",
    async () => {
      const { shop, row } = await park("UNCOUNTED");
      await shop.page.clock.install();
      await discard(row);
      const unanswered = shop.page.waitForEvent("requestfailed", (request) =>
        request.url().endsWith("/figures"),
      );
      await shop.page.route("**/figures", (route) => route.abort());
      await unanswered;
      await shop.page.clock.fastForward(AFTER_UNDO_MS);
      await row.waitFor({ state: "detached" });
      expect(parked("UNCOUNTED")).toEqual([]);
      expect(shop.consoleMessages(/\/figures/)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a discard that is being sent is not said to be undone",
    async () => {
      const { shop, row } = await park("TOO_LATE");
      const { page } = shop;
      await page.clock.install();
      const asked = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      await page.route(/dead-letters\/\d+/, async (route) => {
        if (route.request().method() !== "DELETE") return route.continue();
        asked.resolve();
        await released.promise;
        await route.continue();
      });
      await discard(row);
      await page.clock.fastForward(AFTER_UNDO_MS);
      await asked.promise;
      await button(row, "Undo").click();
      await page.getByText("The message is being discarded.").waitFor({ state: "attached" });
      released.resolve();
      await row.waitFor({ state: "detached" });
      expect(parked("TOO_LATE")).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "discarded by two operators, a message is discarded once; kept by one of them, not kept by the other",
    async () => {
      const { shop, row } = await park("TWICE_GONE");
      const other = await (await fixture.visit()).open("admin/dead-letters");
      const theirs = await openRow(other, "TWICE_GONE");
      for (const { page } of [shop, other]) await page.clock.install();
      await discard(row);
      await discard(theirs.row);
      await other.page.clock.fastForward(AFTER_UNDO_MS);
      await eventually(() => parked("TWICE_GONE").length === 0, "the message to be discarded");
      await shop.page.clock.fastForward(AFTER_UNDO_MS);
      await row.waitFor({ state: "detached" });
      const actions = store.rows<{ action: string }>(
        "order",
        "SELECT action FROM dead_letter_actions WHERE detail LIKE '%TWICE_GONE%'",
      );
      expect(actions).toEqual([{ action: "discard" }]);
      expect(await shop.page.locator("[role=alert]").count()).toBe(0);
      await shop.context.close();
      await other.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "control and bidirectional characters are visible in keys, errors and messages; the message keeps them",
    async () => {
      const key = "gpj.\u202eREDRO";
      const value = JSON.stringify({ specversion: "1.0", id: "\u2066x", note: "\u202e" });
      await store.records.write([
        { topic: "order.commands", key: Buffer.from(key), value: Buffer.from(value) },
      ]);
      const shop = await (await fixture.visit()).open("admin/dead-letters");
      const { row, text } = await openRow(shop, "gpj.\\u202eREDRO");
      expect(await text.inputValue()).toContain('"note": "\\u202e"');
      expect(JSON.parse(await text.inputValue())).toEqual(JSON.parse(value));
      // Nothing was edited.
      await button(row, "Replay").waitFor();
      await shop.goTo("admin/topics");
      const topic = shop.page.locator('[data-topic="order.commands"]');
      await topic.locator("summary").first().click();
      await topic.getByText("gpj.\\u202eREDRO").first().waitFor();
      const shown = await shop.page.evaluate(() => document.body.textContent ?? "");
      expect(/[\u202e\u2066]/.test(shown)).toBe(false);
      const logged = await eventually(
        () => store.log("order").find((line) => line.includes("gpj.")),
        "the log to name the key",
      );
      expect(logged).toContain("gpj.\\u202eREDRO");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a text that was not saved is not offered for another message with the same id, as in a store that was started anew",
    async () => {
      const { shop, row, text } = await park("SAME_ID");
      await text.fill("of the first message");
      await row.getByText("This text is not saved.").waitFor();
      await shop.goTo("admin/topics");
      await shop.page.route(/\/dead-letters\/\d+$/, async (route) => {
        const response = await route.fetch();
        const message = JSON.stringify(placing("OTHER", 9));
        const raw = { text: message, base64: Buffer.from(message).toString("base64") };
        await route.fulfill({ response, json: { ...(await response.json()), raw } });
      });
      await shop.goTo("admin/dead-letters");
      const again = await openRow(shop, "SAME_ID");
      expect(await again.text.inputValue()).toContain('"OTHER"');
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
