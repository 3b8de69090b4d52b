import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Route } from "playwright-core";
import { slowTest } from "../support/slow-test.ts";
import { axeViolations } from "./accessibility.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { recordMovement } from "./movement.ts";
import type { Shop } from "./shop.ts";

/** The browser's errors for refused and aborted requests. */
const REFUSALS = /^error: Failed to load resource: (the server responded with a status of 40[14]|net::ERR_)/;

describePage("the shop", () => {
  const fixture = usePageFixture();
  const { store } = fixture;
  let visitors = 0;

  /** A new customer, signed in to the shop. */
  async function newCustomer(): Promise<{ shop: Shop; id: string }> {
    const id = `SHOPPER_${++visitors}`;
    const shop = await (await fixture.visit()).open();
    return { shop: await shop.signIn(id), id };
  }
  const ordersOf = async (id: string) => (await store.signIn(id)).orders();

  test(
    "an order is confirmed without a reload",
    async () => {
      const { shop, id } = await newCustomer();
      const before = await shop.available("PRODUCT_009");
      await shop.add("PRODUCT_009", 2);
      expect(await shop.page.locator("[data-total]").textContent()).toBe("€37.00");
      const orderId = await shop.checkOut();
      await shop.untilStatus("confirmed");
      await eventually(
        async () =>
          Bun.deepEquals(await shop.timeline(), [
            "PlaceOrder",
            "OrderPlaced",
            "StockReserved",
            "OrderConfirmed",
          ]),
        "every message to be shown",
      );
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed", total: { amount: 3700 } }]);
      const reserved = shop.page.locator('.step[data-type="store.stock.reserved.v1"]');
      await reserved.getByText(/ms at the broker, then handled by order/).waitFor();
      await reserved.locator("summary").press("Enter");
      const texts = (selector: string) => reserved.locator(selector).allTextContents();
      const [names, values] = [await texts("dt"), await texts("dd")];
      expect(Object.fromEntries(names.map((name, index) => [name, values[index]]))).toMatchObject({
        "partition and offset": expect.stringMatching(/^\d+ \/ \d+$/),
        key: expect.stringMatching(new RegExp(`^${orderId}-`)),
        "caused by": "2 OrderPlaced",
        trace: expect.stringMatching(/^[0-9a-f]{32}$/),
        source: "inventory",
      });
      expect(await axeViolations(shop.page)).toEqual([]);
      await shop.goTo("");
      await eventually(
        async () => (await shop.available("PRODUCT_009")) === before - 2,
        "the shop to show the new stock",
      );
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "an order's messages move on the lines on which they travel",
    async () => {
      const shop = await (await fixture.visit({ reducedMotion: "no-preference" })).open();
      await shop.signIn("TRAVELLER");
      await shop.untilConnection("live");
      const drawn = await recordMovement(shop.page);
      const untilDrawn = (hop: string) => eventually(async () => (await drawn()).includes(hop), hop);
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      for (const hop of [
        "POST /orders browser>api-gateway",
        "PlaceOrder api-gateway>broker",
        "OrderPlaced order>broker",
        "StockReserved inventory>broker",
        "OrderConfirmed order>broker",
        "order.confirmed notification>browser",
      ]) {
        await untilDrawn(hop);
      }
      await eventually(
        async () => (await drawn()).some((hop) => hop.endsWith("broker>inventory")),
        "a message to reach the inventory",
      );
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a double click in two tabs with the same basket places one order",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006", 3);
      const other = await shop.otherTab();
      for (const tab of [shop, other]) {
        // The tabs do not see each other's changes, as in a simultaneous click.
        await tab.page.addInitScript(() => {
          window.addEventListener("storage", (event) => event.stopImmediatePropagation(), true);
          const stored = new Map(Object.entries(localStorage));
          const { setItem, removeItem } = Storage.prototype;
          Storage.prototype.getItem = (key) => stored.get(key) ?? null;
          Storage.prototype.setItem = function (key, value) {
            stored.set(key, value);
            setItem.call(this, key, value);
          };
          Storage.prototype.removeItem = function (key) {
            stored.delete(key);
            removeItem.call(this, key);
          };
        });
      }
      await shop.page.reload();
      await other.open();
      await Promise.all([shop.placeButton.dblclick(), other.placeButton.dblclick()]);
      expect(await other.orderShown()).toBe(await shop.orderShown());
      await Promise.all([shop.untilStatus("confirmed"), other.untilStatus("confirmed")]);
      expect(await ordersOf(id)).toMatchObject([{ items: [{ productId: "PRODUCT_006", quantity: 3 }] }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test.each([
    ["request", false],
    ["answer", true],
  ])(
    "after a reload during the request, with a lost %s, the order is placed once and followed",
    async (_, arrives) => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006");
      const lost = Promise.withResolvers<void>();
      const lose = async (route: Route) => {
        if (arrives) await route.fetch();
        lost.resolve();
      };
      await shop.page.route("**/orders", lose, { times: 1 });
      const orderId = await shop.checkOut();
      await lost.promise;
      await shop.page.reload();
      await shop.untilStatus("confirmed");
      expect(await shop.orderShown()).toBe(orderId);
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed" }]);
      expect(shop.consoleMessages(REFUSALS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "the basket survives a reload",
    async () => {
      const { shop } = await newCustomer();
      await shop.add("PRODUCT_002", 4);
      await shop.page.reload();
      await shop.placeButton.waitFor();
      expect(await shop.page.locator("[data-total]").textContent()).toBe("€20.00");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "after a sign-out nothing of the customer is shown",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006");
      const orderId = await shop.checkOut();
      await shop.untilStatus("confirmed");
      await (await shop.goTo("")).add("PRODUCT_009", 7);
      await shop.signOut();
      const nothing = async () => {
        const text = await shop.page.locator("body").textContent();
        expect(text).not.toContain(orderId);
        expect(text).not.toContain(id);
      };
      await nothing();
      expect(await shop.page.locator(".pill").textContent()).toBe("0");
      await shop.goTo("orders");
      await nothing();
      await shop.signIn("SOMEBODY_ELSE");
      await shop.page.getByText("No orders yet.", { exact: false }).waitFor();
      await nothing();
      await shop.goTo(`orders/${orderId}`);
      await shop.page.getByText("No such order on this account.").waitFor();
      expect(await shop.page.locator(".timeline").count()).toBe(0);
      await (await shop.goTo("")).add("PRODUCT_002");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      await (await shop.goTo("orders")).page.locator(".order-row").waitFor();
      await nothing();
      expect(shop.consoleMessages(REFUSALS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "a session ends when the store was started from empty data",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.page.evaluate(() => {
        const session = JSON.parse(localStorage.getItem("store.session") ?? "{}");
        localStorage.setItem("store.session", JSON.stringify({ ...session, token: "e30.e30.e30" }));
      });
      await shop.page.reload();
      await shop.page.getByRole("button", { name: `Sign in again as ${id}` }).click();
      await shop.untilConnection("live");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "an expired session keeps the basket, and the order continues after the next sign-in",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006", 2);
      await shop.page.route("**/orders", (route) => route.fulfill({ status: 401, json: {} }), { times: 1 });
      const orderId = await shop.checkOut();
      await shop.page.getByRole("button", { name: `Sign in again as ${id}` }).click();
      await shop.untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
