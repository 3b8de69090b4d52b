import { afterEach, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { processNames } from "@distributed-messaging/supervisor/store";
import type { Locator, Page } from "playwright-core";
import { seriousFindings } from "./accessibility.ts";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import type { Shop } from "./shop.ts";

const isSlow = process.env.SLOW_TESTS === "true";
/** Every link of every step is followed, each in a tab of its own. */
const FOLLOW_LIMIT_MS = 240_000;

/** The demonstration of a promise that is shown step by step. */
class Player {
  readonly #page: Page;

  private constructor(private readonly shop: Shop) {
    this.#page = shop.page;
  }

  static async open(shop: Shop, promise: number): Promise<Player> {
    await shop.open("tour");
    await shop.page
      .locator(`[data-promise="${promise}"]`)
      .getByRole("button", { name: /, step by step$/ })
      .click();
    const player = new Player(shop);
    await player.untilStepIsDone();
    return player;
  }

  get step(): Locator {
    return this.#page.locator("#player-step");
  }

  get verdict(): Locator {
    return this.#page.locator(".player .verdict");
  }

  control(name: string): Locator {
    return this.#page.locator(".player-controls").getByRole("button", { name: new RegExp(`^${name}\\b`) });
  }

  /** Resolves when the visitor can go on: to the next step, or after the last one to the next promise. */
  async untilStepIsDone(): Promise<void> {
    await this.#page.locator('.player-controls .primary[aria-disabled="false"]').waitFor();
  }

  async next(): Promise<void> {
    await this.control("Next").click();
    await this.untilStepIsDone();
  }

  /** Goes on until the step with this text is done. */
  async goTo(text: string): Promise<void> {
    while ((await this.step.textContent()) !== text) await this.next();
  }

  /** Opens every link of the evidence that is not in `seen`, and checks what it leads to. @returns the kinds of evidence */
  async followEvidence(seen: Set<string>): Promise<string[]> {
    const kinds = await this.#page.locator(".evidence dt").allTextContents();
    for (const link of await this.#page.locator(".evidence a").all()) {
      const href = (await link.getAttribute("href")) ?? "";
      if (seen.has(href)) continue;
      seen.add(href);
      const [tab] = await Promise.all([this.shop.context.waitForEvent("page"), link.click()]);
      await this.#check(tab, href);
      await tab.close();
    }
    return kinds;
  }

  async #check(tab: Page, href: string): Promise<void> {
    const order = /^#\/orders\/(.+)$/.exec(href)?.[1];
    if (order !== undefined) {
      await tab.locator("h1", { hasText: order }).waitFor();
      await tab.locator(".status-card").waitFor();
      return;
    }
    if (href === "#/orders") return tab.locator("h1").waitFor();
    const shown = (await tab.locator("body").textContent()) ?? "";
    const text = /#:~:text=(.+)$/.exec(href)?.[1];
    if (text !== undefined) expect(shown).toContain(decodeURIComponent(text));
    else expect(JSON.parse(shown)).not.toBeEmpty();
  }
}

/** The names of the parts that are marked on the map. */
function marked(page: Page): Promise<string[]> {
  return page.locator(".map-pointed").evaluateAll((parts) => parts.map((part) => part.dataset.process ?? ""));
}

describePage("the tour, step by step", () => {
  const fixture = usePageFixture();
  const { store } = fixture;
  const visitors: Shop[] = [];
  const visit = async (...options: Parameters<typeof fixture.visit>) => {
    const shop = await fixture.visit(...options);
    visitors.push(shop);
    return shop;
  };
  // A tour that goes on would keep all others from beginning.
  afterEach(async () => {
    await Promise.all(visitors.splice(0).map(({ context }) => context.close()));
  });

  const untilAllRun = () =>
    eventually(
      () => processNames.every((name) => store.process(name).state === "ready"),
      "every process to run again",
    );

  /** The orders of the customer who is signed in, as the gateway has them. */
  async function ordersOf(shop: Shop) {
    const customer = await store.signIn((await shop.page.locator(".who-name").textContent()) ?? "");
    return customer.orders();
  }

  const untilCancelled = (shop: Shop) =>
    eventually(async () => {
      const orders = await ordersOf(shop);
      return orders.length > 0 && orders.every(({ status }) => status === "cancelled");
    }, "the orders to be cancelled");

  test(
    "reloaded while processes are stopped, it leaves none stopped, and its order is cancelled",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      await player.goTo("Place an order: accepted");
      expect(store.process("broker").state).toBe("stopped");
      await shop.page.reload();
      await untilAllRun();
      await untilCancelled(shop);
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "reloaded while an order waits behind an unreadable message, it leaves no dead letter and no order",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 3);
      await player.goTo("Place that order: its message waits behind the unreadable one");
      const parked = () => store.rows("order", "SELECT reason FROM dead_letters ORDER BY id");
      expect(parked()).toMatchObject([{}, { reason: "blocked" }]);
      await shop.page.reload();
      await untilCancelled(shop);
      await eventually(() => parked().length === 0, "no dead letter");
      await shop.page.getByRole("status").filter({ hasText: "The tour was interrupted." }).waitFor();
      expect(await shop.page.evaluate(() => localStorage.getItem("store.tour"))).toBeNull();
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "closed, left for another view or another page, or ended, it leaves no process stopped",
    async () => {
      const leave: Record<string, (shop: Shop, player: Player) => Promise<unknown>> = {
        closed: (shop) => shop.page.close(),
        "another view": (shop) => shop.goTo("figures"),
        "another page": (shop) => shop.page.goto("about:blank"),
        ended: (_, player) => player.control("End").click(),
      };
      for (const [how, go] of Object.entries(leave)) {
        const shop = await visit();
        const player = await Player.open(shop, 6);
        await player.goTo("Stop the broker, the order service and the notifications too");
        expect({ how, state: store.process("broker").state }).toEqual({ how, state: "stopped" });
        await go(shop, player);
        await untilAllRun();
        if (how === "ended") {
          expect(await player.verdict.textContent()).toStartWith("Ended.");
          await untilCancelled(shop);
        }
      }
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "in another tab it does not run at the same time",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      const other = await (await shop.otherTab()).open("tour");
      await other.page.getByRole("button", { name: "All at once: Kill the gateway" }).click();
      await other.page.locator(".verdict", { hasText: "Another page stops and starts processes" }).waitFor();
      await player.control("End").click();
      await player.verdict.waitFor();
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "when a process does not come back, it says so, and the process is started all the same",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      await player.goTo("Started again, it still has the order");
      await shop.page.route(/\/processes\/broker\/start/, (route) =>
        route.fulfill({
          status: 503,
          headers: { "access-control-allow-origin": "*" },
          json: { detail: "The broker does not start." },
        }),
      );
      await player.next();
      expect(await player.verdict.textContent()).toBe("It could not be shown. The broker does not start.");
      await untilAllRun();
      await untilCancelled(shop);
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "with the keyboard alone: each step begins with Enter, and is read out; the focus stays",
    async () => {
      const shop = await (await visit()).open("tour");
      const { page } = shop;
      const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
      const tabTo = async (name: string, key = "Tab") => {
        for (let presses = 0; !(await focused()).startsWith(name); presses++) {
          expect(presses).toBeLessThan(80);
          await page.keyboard.press(key);
        }
      };
      const untilRead = (text: string) => page.getByRole("status").filter({ hasText: text }).waitFor();
      await page.locator(".promise button:not([disabled])").first().waitFor();
      await tabTo("Kill the gateway");
      await page.keyboard.press("Enter");
      await untilRead("Step 1 of 7 is done. Every part of the map is running");
      expect(await focused()).toBe("Next");
      await page.locator(':focus[aria-disabled="false"]').waitFor();
      await page.keyboard.press("Enter");
      await untilRead("Step 2 of 7 is done. The broker is stopped");
      expect([await focused(), store.process("broker").state]).toEqual(["Next", "stopped"]);
      expect(await seriousFindings(page)).toEqual([]);
      await tabTo("services/supervisor/process.ts", "Shift+Tab");
      await tabTo("End");
      await page.keyboard.press("Enter");
      await untilRead("Everything runs again");
      expect(await focused()).toBe("End");
      await tabTo("All promises", "Shift+Tab");
      await page.keyboard.press("Enter");
      await eventually(
        async () => (await focused()).startsWith("Kill the gateway"),
        "the focus on the button",
      );
      await untilAllRun();
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "played, the steps follow each other until it is paused; replayed, it begins again",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      await player.control("Play").click();
      await player.step.filter({ hasText: "Stop the broker" }).waitFor();
      await player.control("Pause").click();
      await player.untilStepIsDone();
      await player.control("Replay").click();
      await player.step.filter({ hasText: "See that everything runs" }).waitFor();
      await player.untilStepIsDone();
      await untilAllRun();
      await player.control("End").click();
      await player.verdict.waitFor();
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "on a phone the map, what to look at and the controls are on the screen, in every step",
    async () => {
      const shop = await visit({ viewport: { width: 390, height: 844 }, hasTouch: true });
      const player = await Player.open(shop, 6);
      for (; (await player.control("Next").count()) === 1; await player.next()) {
        const parts = [".map-stage", "#player-step", ".player-look", ".player-controls"];
        const places = await Promise.all(parts.map((part) => shop.page.locator(part).boundingBox()));
        let above = 0;
        for (const [index, place] of places.entries()) {
          const { y = -1, height = 0 } = place ?? {};
          expect({ part: parts[index], isBelow: y >= above }).toEqual({ part: parts[index], isBelow: true });
          above = y + height;
        }
        expect(above).toBeLessThanOrEqual(844);
        expect(await shop.page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
      }
      await untilAllRun();
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow)(
    "an outage lasts as long as the visitor wants: unread messages pile up on the map, then drain",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 6);
      await player.goTo("Place 4 orders: accepted, then pending");
      const pile = shop.page.locator('g:has([data-line="inventory"]) > .map-unread');
      await eventually(async () => (await pile.count()) === 4, "four messages to be drawn");
      expect(await marked(shop.page)).toEqual(["broker", "inventory"]);
      await player.goTo("Start all but the inventory");
      await eventually(async () => (await pile.count()) === 5, "the pile to be there again");
      await player.next();
      await eventually(async () => (await pile.count()) === 0, "the pile to drain");
      await player.goTo("All orders go on to their end by themselves");
      expect(await player.verdict.textContent()).toContain("now all 5 are “confirmed”");
    },
    TEST_LIMIT_MS,
  );

  test.skipIf(!isSlow).each([1, 2, 3, 4, 5, 6])(
    "promise %d: each step points at the map, and its evidence can be followed",
    async (promise) => {
      const shop = await visit();
      const player = await Player.open(shop, promise);
      const seen = new Set<string>();
      for (let step = 1; ; step++) {
        const text = (await player.step.textContent()) ?? "";
        const kinds = await player.followEvidence(seen);
        expect({ text, kinds }).toEqual({ text, kinds: expect.arrayContaining(["Code", "Test"]) });
        if (/^(Stop|Kill|Start) /.test(text))
          expect({ text, kinds }).toEqual({ text, kinds: expect.arrayContaining(["Log"]) });
        if (/^Place |^Order /.test(text))
          expect({ text, kinds }).toEqual({ text, kinds: expect.arrayContaining(["Order"]) });
        if ((await player.verdict.count()) > 0) break;
        if (step > 1) expect({ text, marked: await marked(shop.page) }).not.toEqual({ text, marked: [] });
        await player.next();
      }
      expect(await player.verdict.textContent()).toStartWith("It held.");
      await untilAllRun();
      expect(shop.consoleMessages(LOST_CONNECTIONS)).toEqual([]);
    },
    FOLLOW_LIMIT_MS,
  );
});
