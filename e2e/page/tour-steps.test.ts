import { afterEach, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { processNames } from "@distributed-messaging/supervisor/store";
import type { Page } from "playwright-core";
import { axeViolations } from "./accessibility.ts";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { Player } from "./player.ts";
import { type Shop, withSettings } from "./shop.ts";

/* Each test stops and starts several processes. The essential one runs always: that of tour.test.ts. */

const describeSlow = process.env.SLOW_TESTS === "true" ? describePage : describe.skip;
/** Every link of every step is followed, each in a tab of its own. */
const FOLLOW_LIMIT_MS = 240_000;

/** The names of the parts that are marked on the map. */
function marked(page: Page): Promise<string[]> {
  return page.locator(".map-pointed").evaluateAll((parts) => parts.map((part) => part.dataset.process ?? ""));
}

interface Recorded {
  readonly announced: string[];
}

/** Records what screen readers are told from the next load on: the news of an order replaces what was told before. */
async function recordAnnouncements(page: Page): Promise<() => Promise<string[]>> {
  await page.addInitScript(() => {
    const announced: string[] = [];
    Object.assign(window, { announced });
    new MutationObserver(() => {
      const text = document.querySelector(".visually-hidden[role=status]")?.textContent ?? "";
      if (text !== announced.at(-1)) announced.push(text);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  return () => page.evaluate(() => (window as unknown as Recorded).announced);
}

/** What a screen reader has of the first promise after its second step, in this order. */
const PLAYER_TREE = [
  `
    - heading "Accepted orders are never lost." [level=1]`,
  `
    - 'region "Stop the broker: now the gateway''s disk is the only place an order can be"':
      - paragraph: "Step 2 of 7: done"
      - 'heading "Stop the broker: now the gateway''s disk is the only place an order can be" [level=2]'
      - paragraph:
        - strong: "Look:"
        - text: "The broker is stopped, and its lines are cut: no message travels."
      - term: Log
      - definition:
        - code: stopped
        - link "log of broker (opens a new tab)":`,
  `
    - list "Steps":
      - listitem:
        - button "See that everything runs (done)"
      - listitem:
        - 'button "Stop the broker: now the gateway''s disk is the only place an order can be (done)"'
      - listitem:
        - 'button "Place an order: accepted (to come)"'`,
  `
    - region "Controls of the tour":
      - button "Next"
      - 'button "Play : the steps follow by themselves"'
      - button "Replay"
      - button "End"
      - paragraph: Go on when you are ready.`,
].map((part) => part.replaceAll("\n    ", "\n  "));

describeSlow("the tour, step by step", () => {
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
    "reloaded while an order waits behind an unreadable message, it leaves no dead letter and no order",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 3);
      await player.goTo("Place that order: its message waits behind the unreadable one");
      const parked = () => store.rows("order", "SELECT reason FROM dead_letters ORDER BY id");
      expect(parked()).toMatchObject([{}, { reason: "blocked" }]);
      const announced = await recordAnnouncements(shop.page);
      await shop.page.reload();
      await untilCancelled(shop);
      await eventually(() => parked().length === 0, "no dead letter");
      await eventually(
        async () => (await announced()).some((text) => text.includes("The tour was interrupted.")),
        "the page to say so",
      );
      expect(await shop.page.evaluate(() => localStorage.getItem("store.tour"))).toBeNull();
    },
    TEST_LIMIT_MS,
  );

  test(
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

  test(
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

  test(
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

  test(
    "what a process logs late is shown all the same",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      let withheld = 0;
      await shop.page.route("**/processes/broker/log", async (route) => {
        if (withheld === 3) return route.continue();
        withheld += 1;
        await route.fulfill({ headers: { "access-control-allow-origin": "*" }, json: [] });
      });
      await player.next();
      expect(await shop.page.locator(".evidence dt").allTextContents()).toContain("Log");
      expect(withheld).toBe(3);
      await player.control("End").click();
      await player.verdict.waitFor();
      await untilAllRun();
    },
    TEST_LIMIT_MS,
  );

  test(
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
      const player = page.locator(".player");
      await player.getByText("log of broker").waitFor();
      const tree = await player.ariaSnapshot();
      for (const part of PLAYER_TREE) expect(tree).toContain(part);
      expect(await axeViolations(page)).toEqual([]);
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

  test(
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

  test(
    "ended by a replay and left before that began, it does not begin",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      await player.goTo("Place an order: accepted");
      const released = Promise.withResolvers<void>();
      await shop.page.route(/\/orders\/[\w-]+\/cancel$/, async (route) => {
        await released.promise;
        await route.continue();
      });
      const cancelling = shop.page.waitForRequest(/\/orders\/[\w-]+\/cancel$/);
      await player.control("Replay").click();
      await cancelling;
      await shop.goTo("figures");
      released.resolve();
      await shop.goTo("tour");
      // Without a player nobody could end it.
      await shop.page.locator(".promise button:not([disabled])").first().waitFor();
      await untilAllRun();
      await untilCancelled(shop);
    },
    TEST_LIMIT_MS,
  );

  test(
    "the next promise begins once everything runs, also when it is asked for before",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      await player.goTo("Started again, it still has the order");
      await player.next();
      let isDown = true;
      await shop.page.route("**/processes", async (route) => {
        const response = await route.fetch();
        const list: { name: string; state: string }[] = await response.json();
        const json = list.map((one) =>
          isDown && one.name === "notification" ? { ...one, state: "starting" } : one,
        );
        await route.fulfill({ response, json });
      });
      await player.next();
      expect(await player.verdict.textContent()).toStartWith("It held.");
      await player.control("Next promise").click();
      await shop.page.locator('.player[data-promise="2"][data-state="idle"]').waitFor();
      isDown = false;
      await player.step.filter({ hasText: "See that everything runs" }).waitFor();
      await player.untilStepIsDone();
      await player.control("End").click();
      await player.verdict.waitFor();
      await shop.page.unrouteAll({ behavior: "wait" });
    },
    TEST_LIMIT_MS,
  );

  test(
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

  test(
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

  test.each([1, 2, 3, 4, 5, 6])(
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

  test(
    "what a visitor did before is theirs afterwards: the basket, and a session that has expired",
    async () => {
      const shop = await visit();
      await shop.open();
      await shop.add("PRODUCT_006", 3);
      let player = await Player.open(shop, 1);
      await player.goTo("Place an order: accepted");
      expect(await shop.page.locator(".who-name").textContent()).toStartWith("TOUR_");
      // The verdict waits until every process runs.
      await shop.page.route("**/processes", async (route) => {
        const response = await route.fetch();
        const [first, ...others] = await response.json();
        await route.fulfill({ response, json: [{ ...first, state: "stopped" }, ...others] });
      });
      await player.control("End").click();
      await untilCancelled(shop);
      for (let answers = 0; answers < 3; answers++) await shop.page.waitForResponse("**/processes");
      expect(await player.verdict.count()).toBe(0);
      await shop.page.unrouteAll({ behavior: "wait" });
      expect(await player.verdict.textContent()).toBe(
        "Ended. Everything runs again, and what was ordered is cancelled.",
      );
      const basket = shop.page.locator(".basket-link");
      expect(await basket.textContent()).toBe("Basket 0");
      await shop.signOut();
      expect(await basket.textContent()).toBe("Basket 3");
      await shop.signIn("TOURIST");
      expect(await basket.textContent()).toBe("Basket 3");
      await shop.page.evaluate(() => localStorage.setItem("store.session", '{"customerId":"TOURIST"}'));
      await shop.page.reload();
      await shop.page.getByRole("button", { name: "Sign in again as TOURIST" }).waitFor();
      player = await Player.open(shop, 1);
      expect(await shop.page.locator(".who-name").textContent()).toBe("TOURIST");
      await untilAllRun();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a tab that its links open does not ask for the right to stop processes, and puts everything back when the tour's tab is closed",
    async () => {
      const shop = await visit();
      const player = await Player.open(shop, 1);
      let refusals = 0;
      // The gateway is busy once.
      await shop.page.route("**/orders", async (route) => {
        if (route.request().method() !== "POST" || refusals++ > 0) await route.fallback();
        else await route.fulfill({ status: 429, json: { detail: "Too many requests." } });
      });
      await player.goTo("Place an order: accepted");
      expect(refusals).toBe(2);
      // What a log has escaped stays visible.
      await shop.page.route("**/log", (route) =>
        route.fulfill({
          headers: { "access-control-allow-origin": "*" },
          json: [{ at: Date.now(), line: '{"msg":"ended \\u202e by a signal"}' }],
        }),
      );
      await player.next();
      await shop.page.locator(".evidence code", { hasText: "ended \\u202e by a signal" }).waitFor();
      const other = await shop.otherTab();
      const leases: string[] = [];
      other.page.on("request", (request) => {
        if (request.url().endsWith("/lease")) leases.push(request.method());
      });
      await other.open("figures");
      await eventually(
        () =>
          other.page.evaluate(async () => {
            const { pending = [] } = await navigator.locks.query();
            return pending.some(({ name }) => name === "store.tour");
          }),
        "the other tab to wait",
      );
      expect(leases).toEqual([]);
      await shop.page.close();
      await untilAllRun();
      await untilCancelled(other);
      expect(leases).toEqual(["POST"]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "the orders of a customer who has signed out at an issuer stay, and are cancelled at the next sign-in",
    async () => {
      const shop = await visit();
      await withSettings(shop.page, {
        oidc: { issuer: "", clientId: "page", scope: "openid", parameters: "" },
      });
      await shop.open();
      const customer = await store.signIn("ISSUED");
      const { session } = customer;
      const signIn = () =>
        shop.page.evaluate((text) => localStorage.setItem("store.session", text), JSON.stringify(session));
      await signIn();
      await shop.page.reload();
      const player = await Player.open(shop, 1);
      await player.goTo("Place an order: accepted");
      await shop.page.getByRole("button", { name: "Sign out" }).click();
      await player.control("End").click();
      expect(await player.verdict.textContent()).toBe(
        "Ended. Everything runs again, and what was ordered stays until you sign in again.",
      );
      await signIn();
      await shop.page.reload();
      await shop.page
        .getByRole("status")
        .filter({ hasText: "The tour was interrupted. Its orders are cancelled." })
        .waitFor();
      const isCancelled = async () => (await customer.orders())[0]?.status === "cancelled";
      await eventually(isCancelled, "the order to be cancelled");
    },
    TEST_LIMIT_MS,
  );
});
