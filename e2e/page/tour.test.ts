import { expect, test } from "bun:test";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, useBench } from "./fixture.ts";

/** Each promise stops and starts several processes. */
const LIMIT_MS = 180_000;

describePage("the tour", () => {
  const bench = useBench();

  /** Somebody who has ordered far more of the scarcest than there is stands in line before whoever comes now. */
  async function waitInFront(): Promise<void> {
    const products = await bench.store.products();
    const [scarcest] = products.sort((one, other) => one.available - other.available);
    const customer = await bench.store.signIn("IN_FRONT");
    const order = { orderId: "IN_FRONT", items: [{ productId: scarcest?.productId ?? "", quantity: 400 }] };
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
      "Stop the inventory, then the rest",
      /With one part left of five, orders were taken: now “confirmed” and “confirmed”/,
    ],
  ])(
    "promise %d: %s",
    async (number, button, verdict) => {
      if (number === 5) await waitInFront();
      const shop = await (await bench.visit()).open("tour");
      const promise = shop.page.locator(`[data-promise="${number}"]`);
      await promise.getByRole("button", { name: button }).click();
      const text = await promise.locator(".verdict").textContent({ timeout: LIMIT_MS });
      expect(text).toMatch(verdict);
      expect(await promise.locator(".tour-failed").count()).toBe(0);
      // Whatever was broken is whole again.
      await shop.page.locator(".lamps-text", { hasText: "Everything runs." }).waitFor();
      const source = await promise.getByRole("link", { name: "Read its test" }).getAttribute("href");
      expect(await (await fetch(source ?? "")).text()).toContain("test(");
      expect(shop.complaints.list(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    LIMIT_MS,
  );
});
