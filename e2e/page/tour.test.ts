import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { processNames, ROOT } from "@distributed-messaging/supervisor/store";
import { slowTest } from "../support/slow-test.ts";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, usePageFixture } from "./fixture.ts";
import { Player } from "./player.ts";

const readme = readFileSync(join(ROOT, "README.md"), "utf8");
/** The first test of each promise in the README, in the order of the promises. */
const firstTests = [...readme.matchAll(/^\| \d .*?`([^`]+\.test\.ts)`/gm)].map(([, path]) => path);

/** Each promise stops and starts several processes. */
const LIMIT_MS = 180_000;

describePage("the tour", () => {
  const fixture = usePageFixture();

  /** Places an earlier backordered order for the scarcest product. */
  async function placeEarlierOrder(): Promise<void> {
    const products = await fixture.store.products();
    const [scarcest] = products.sort((one, other) => one.available - other.available);
    const customer = await fixture.store.signIn("EARLIER");
    const order = { orderId: "EARLIER", items: [{ productId: scarcest?.productId ?? "", quantity: 400 }] };
    await customer.place(order);
    await customer.until(order.orderId, "backordered");
  }

  test.each([
    [1, "Kill the gateway", /was “accepted” after the crash and is “confirmed” now/],
    [2, "Send everything again", /5 repeated requests and \d+ copies of messages: no effect at all/],
    [3, "Send an unreadable message", /waited for its own dead letter only/],
    [
      4,
      "Order more than there is",
      /^It held\. 4 confirmed, 3 had to wait\. On hand 4 = reserved 4 \+ available 0/,
    ],
    [5, "Order what is sold out", /waited and was confirmed; order \S+ was cancelled/],
    [
      6,
      "Stop all but the gateway",
      new RegExp(
        `With one part left of ${processNames.length}, orders were taken: now all 5 are “confirmed”`,
      ),
    ],
  ])(
    "promise %d: %s",
    async (number, button, verdict) => {
      if (number === 5) await placeEarlierOrder();
      const shop = await (await fixture.visit()).open("tour");
      const promise = shop.page.locator(`[data-promise="${number}"]`);
      await promise.getByRole("button", { name: `All at once: ${button}` }).click();
      const text = await promise.locator(".verdict").textContent({ timeout: LIMIT_MS });
      expect(text).toMatch(verdict);
      expect(await promise.locator(".tour-failed").count()).toBe(0);
      // Every process runs again.
      await shop.page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
      const link = await promise.getByRole("link", { name: "Read its test" }).getAttribute("href");
      const source = new URL(link ?? "");
      expect(source.pathname).toBe(`/sources/${firstTests[number - 1]}`);
      expect(await (await fetch(source)).text()).toContain("test(");
      expect(shop.consoleMessages(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    LIMIT_MS,
  );

  slowTest(
    "a demonstration whose order was rejected says why instead of waiting for it",
    async () => {
      const shop = await (await fixture.visit()).open("tour");
      await shop.page.route(/\/orders\/[\w-]+$/, async (route) => {
        const response = await route.fetch();
        const order = await response.json();
        await route.fulfill({ response, json: { ...order, status: "rejected", reason: "unknown product" } });
      });
      const promise = shop.page.locator('[data-promise="5"]');
      await promise.getByRole("button", { name: "All at once: Order what is sold out" }).click();
      const text = await promise.locator(".verdict").textContent({ timeout: LIMIT_MS });
      expect(text).toMatch(/^It could not be shown\. \S+ is rejected: unknown product\.$/);
      await shop.page.unrouteAll({ behavior: "wait" });
      await shop.context.close();
    },
    LIMIT_MS,
  );

  slowTest(
    "reloaded while processes are stopped, it leaves none stopped, and its order is cancelled",
    async () => {
      const { store } = fixture;
      const shop = await fixture.visit();
      const player = await Player.open(shop, 1);
      await player.goTo("Place an order: accepted");
      expect(store.process("broker").state).toBe("stopped");
      const customer = await store.signIn((await shop.page.locator(".who-name").textContent()) ?? "");
      await shop.page.reload();
      await eventually(
        () => processNames.every((name) => store.process(name).state === "ready"),
        "every process to run again",
      );
      await eventually(async () => {
        const orders = await customer.orders();
        return orders.length === 1 && orders[0]?.status === "cancelled";
      }, "the order to be cancelled");
      await shop.context.close();
    },
    LIMIT_MS,
  );
});
