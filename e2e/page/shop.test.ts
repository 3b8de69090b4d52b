import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Route } from "playwright-core";
import { describePage, TEST_LIMIT_MS, useBench } from "./fixture.ts";
import type { Shop } from "./shop.ts";

/** What the browser says by itself of an answer that says no, or that a test kept from it. */
const REFUSALS = /^error: Failed to load resource: (the server responded with a status of 40[14]|net::ERR_)/;

describePage("the shop", () => {
  const bench = useBench();
  const { store } = bench;
  let visitors = 0;

  /** A customer nobody has been before, at the shelves. */
  async function newCustomer(): Promise<{ shop: Shop; id: string }> {
    const id = `SHOPPER_${++visitors}`;
    const shop = await (await bench.visit()).open();
    return { shop: await shop.signIn(id), id };
  }
  const ordersOf = async (id: string) => (await store.signIn(id)).orders();

  test(
    "from the shelf to confirmed, without a reload",
    async () => {
      const { shop, id } = await newCustomer();
      const before = await shop.available("PRODUCT_009");
      await shop.add("PRODUCT_009", 2);
      expect(await shop.page.locator("[data-total]").textContent()).toBe("€37.00");
      const orderId = await shop.checkOut();
      await shop.reaches("confirmed");
      await eventually(
        async () =>
          Bun.deepEquals(await shop.timeline(), [
            "PlaceOrder",
            "OrderPlaced",
            "StockReserved",
            "OrderConfirmed",
          ]),
        "every message to be drawn",
      );
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed", total: { amount: 3700 } }]);
      await shop.goTo("");
      await eventually(
        async () => (await shop.available("PRODUCT_009")) === before - 2,
        "the shelf to show it",
      );
      expect(shop.complaints.list()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a double click, and the same basket sent from two tabs at once: one order",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006", 3);
      const other = await shop.otherTab();
      for (const tab of [shop, other]) {
        // Neither hears of anything that the other does, as when both are clicked at the same moment.
        await tab.page.addInitScript(() => {
          window.addEventListener("storage", (event) => event.stopImmediatePropagation(), true);
          const stored = { ...localStorage };
          Storage.prototype.getItem = (key) => stored[key] ?? null;
        });
      }
      await shop.page.reload();
      await other.open();
      await Promise.all([shop.placeButton.dblclick(), other.placeButton.dblclick()]);
      expect(await other.orderShown()).toBe(await shop.orderShown());
      await Promise.all([shop.reaches("confirmed"), other.reaches("confirmed")]);
      expect(await ordersOf(id)).toMatchObject([{ items: [{ productId: "PRODUCT_006", quantity: 3 }] }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test.each([
    ["request", false],
    ["answer", true],
  ])(
    "a reload while the order is on its way, and its %s is lost: it is placed once, and followed further",
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
      await shop.reaches("confirmed");
      expect(await shop.orderShown()).toBe(orderId);
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed" }]);
      expect(shop.complaints.list(REFUSALS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "the basket outlives a reload",
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
    "after signing out nothing of the other customer is to be seen",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006");
      const orderId = await shop.checkOut();
      await shop.reaches("confirmed");
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
      await shop.page.getByText("You have no order of this number.").waitFor();
      expect(await shop.page.locator(".timeline").count()).toBe(0);
      await (await shop.goTo("")).add("PRODUCT_002");
      await shop.checkOut();
      await shop.reaches("confirmed");
      await (await shop.goTo("orders")).page.locator(".order-row").waitFor();
      await nothing();
      expect(shop.complaints.list(REFUSALS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a session of a store that was started from empty data since has ended",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.page.evaluate(() => {
        const session = JSON.parse(localStorage.getItem("store.session") ?? "{}");
        localStorage.setItem("store.session", JSON.stringify({ ...session, token: "e30.e30.e30" }));
      });
      await shop.page.reload();
      await shop.page.getByRole("button", { name: `Sign in again as ${id}` }).click();
      await shop.feed("live");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a session that runs out says so, keeps the basket and goes on after signing in again",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006", 2);
      await shop.page.route("**/orders", (route) => route.fulfill({ status: 401, json: {} }), { times: 1 });
      const orderId = await shop.checkOut();
      await shop.page.getByRole("button", { name: `Sign in again as ${id}` }).click();
      await shop.reaches("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
