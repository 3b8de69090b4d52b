import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Page, Response } from "playwright-core";
import { describePage, killGateway, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { KEPT, type Shop } from "./shop.ts";

/* Killing and starting the gateway takes seconds. The essential test runs always: that of outage.test.ts. */

const describeSlow = process.env.SLOW_TESTS === "true" ? describePage : describe.skip;

describeSlow("the page without the gateway", () => {
  const fixture = usePageFixture();
  const { store } = fixture;
  const gateway = store.process("api-gateway");
  let visitors = 0;

  /** A new customer, whose browser has the page. */
  async function newCustomer(): Promise<{ shop: Shop; id: string }> {
    const id = `OFFLINE_${++visitors}`;
    const shop = await (await fixture.visit()).open();
    await shop.signIn(id);
    await shop.product("PRODUCT_006").waitFor();
    await shop.untilShellIsKept();
    return { shop, id };
  }

  /** A customer with an order that was placed while the gateway was down, and shown. */
  async function keptOrder(): Promise<{ shop: Shop; id: string; orderId: string }> {
    const { shop, id } = await newCustomer();
    await shop.add("PRODUCT_006", 2);
    await killGateway(store);
    const orderId = await shop.checkOut();
    await shop.page.getByText(KEPT).waitFor();
    return { shop, id, orderId };
  }

  const ordersOf = async (id: string) => (await store.signIn(id)).orders();

  const stored = (page: Page) => page.evaluate(() => ({ ...window.localStorage }));

  test(
    "of two tabs one sends at a time; the other finds the order sent",
    async () => {
      const { shop, id, orderId } = await keptOrder();
      const other = await (await shop.otherTab()).open(`orders/${orderId}`);
      await other.untilStatus("sending");
      // A request that is held while the gateway starts may be given up, and sent again.
      await shop.context.setOffline(true);
      await gateway.start();
      const released = Promise.withResolvers<void>();
      let requests = 0;
      await shop.context.route("**/orders", async (route) => {
        requests += 1;
        await released.promise;
        await route.continue();
      });
      await shop.context.setOffline(false);
      await eventually(
        () =>
          shop.page.evaluate(async () => {
            const { held = [], pending = [] } = await navigator.locks.query();
            const isSending = ({ name }: LockInfo) => name?.startsWith("store.sending.");
            return held.filter(isSending).length === 1 && pending.filter(isSending).length === 1;
          }),
        "one tab to send, the other to wait",
      );
      await eventually(() => requests > 0, "the request");
      released.resolve();
      for (const tab of [shop, other]) await tab.untilStatus("confirmed");
      expect(requests).toBe(1);
      expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a tab that is suspended while it sends does not hold the order up for ever",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006");
      const suspended = await shop.context.newPage();
      await suspended.goto("/liveness");
      const { orderId } = JSON.parse((await stored(shop.page))[`store.basket.${id}`] ?? "{}");
      await suspended.evaluate((name) => {
        void navigator.locks.request(name, () => new Promise(() => {}));
      }, `store.sending.${orderId}`);
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a kept order that is refused says why, also after a reload; its customer changes it into another one, or removes it",
    async () => {
      for (const choice of ["change", "remove"] as const) {
        const { shop, id } = await newCustomer();
        await shop.add("PRODUCT_006", 2);
        const { orderId } = JSON.parse((await stored(shop.page))[`store.basket.${id}`] ?? "{}");
        // The same name for another order, as of a device with the same storage.
        const items = [{ productId: "PRODUCT_009", quantity: 1 }];
        await (await store.signIn(id)).place({ orderId, items });
        await killGateway(store);
        expect(await shop.checkOut()).toBe(orderId);
        await shop.page.getByText(KEPT).waitFor();
        await gateway.start();
        await shop.untilStatus("refused");
        await shop.page.setViewportSize({ width: 320, height: 700 });
        // The map is planned anew after the change of size.
        await eventually(
          () => shop.page.evaluate(() => document.documentElement.scrollWidth === 320),
          "no part of the page to be wider than the screen",
        );
        await shop.page.reload();
        await shop.page.getByRole("alert").getByText("You have an order with this orderId").waitFor();
        if (choice === "change") {
          await shop.page.getByRole("button", { name: "Put it into the basket again" }).click();
          expect(await shop.checkOut()).not.toBe(orderId);
          await shop.untilStatus("confirmed");
          expect(await ordersOf(id)).toMatchObject([{ items: [{ quantity: 2 }] }, { orderId, items }]);
        } else {
          await shop.page.getByRole("button", { name: "Remove it" }).click();
          // The other order of this name.
          await shop.page.locator(".order-row", { hasText: orderId }).getByText("confirmed").waitFor();
          expect(await ordersOf(id)).toMatchObject([{ orderId, items }]);
        }
        expect(Object.keys(await stored(shop.page)).join()).not.toContain(orderId);
        await shop.context.close();
      }
    },
    TEST_LIMIT_MS,
  );

  test(
    "any refusal of a kept order is shown, in the basket too",
    async () => {
      const { shop, id } = await keptOrder();
      const problem = { type: "urn:problem-type:any", detail: "The store has changed." };
      const conflict = {
        status: 409,
        contentType: "application/problem+json",
        body: JSON.stringify(problem),
      };
      await shop.page.route("**/orders", (route) => route.fulfill(conflict), { times: 1 });
      await gateway.start();
      await shop.untilStatus("refused");
      await shop.goTo("");
      await shop.page
        .getByRole("alert")
        .getByText("An order was not taken. The store has changed.")
        .waitFor();
      await shop.page.getByRole("link", { name: "Change or remove it" }).click();
      await shop.page.getByRole("button", { name: "Remove it" }).click();
      await shop.page.getByText("No orders yet.", { exact: false }).waitFor();
      expect(await ordersOf(id)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  for (const [what, change] of [
    ["expires", { expiresAt: new Date(0).toISOString() }],
    ["is withdrawn", { token: "e30.e30.e30" }],
  ] as const) {
    test(
      `a token that ${what} meanwhile: the order waits for the next sign-in of its customer`,
      async () => {
        const { shop, id, orderId } = await keptOrder();
        await shop.page.evaluate((changed) => {
          const session = JSON.parse(localStorage.getItem("store.session") ?? "{}");
          localStorage.setItem("store.session", JSON.stringify({ ...session, ...changed }));
        }, change);
        await shop.page.reload();
        const again = shop.page.getByRole("button", { name: `Sign in again as ${id}` });
        if (what === "expires") {
          await again.click();
          await shop.page.getByText("The store cannot be reached: sign in when it is back.").waitFor();
        }
        await gateway.start();
        await shop.page
          .getByText("1 order is kept in this browser until whoever placed it signs in.")
          .waitFor();
        await shop.page.reload();
        await again.click();
        await shop.untilStatus("confirmed");
        expect(await ordersOf(id)).toMatchObject([{ orderId }]);
        await shop.context.close();
      },
      TEST_LIMIT_MS,
    );
  }

  test(
    "another customer at the same browser sees and sends nothing of the first one's, whose order waits",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_009");
      const known = await shop.checkOut();
      await shop.untilStatus("confirmed");
      await shop.page.route("**/orders", (route) =>
        route.request().method() === "POST" ? route.fulfill({ status: 503, json: {} }) : route.continue(),
      );
      await (await shop.goTo("")).add("PRODUCT_006");
      const waiting = await shop.checkOut();
      await shop.page.getByText("The store cannot take it just now").waitFor();
      await shop.goTo("");
      await shop.signOut();
      await shop.page.getByText("1 order is kept in this browser").waitFor();
      const shows = async () => (await shop.page.locator("body").textContent()) ?? "";
      for (const secret of [id, known, waiting]) expect(await shows()).not.toContain(secret);
      await shop.page.unrouteAll();
      await shop.signIn("NEXT_ONE");
      await killGateway(store);
      await shop.page.reload();
      await shop.goTo("orders");
      await shop.page.getByText("No orders yet.", { exact: false }).waitFor();
      for (const secret of [id, known, waiting]) expect(await shows()).not.toContain(secret);
      expect((await stored(shop.page))["store.orders"] ?? "").not.toContain(known);
      const paths = await shop.keptPaths();
      expect(paths.filter((path) => path !== "/" && !path.startsWith("/assets/"))).toEqual([]);
      await gateway.start();
      await shop.untilConnection("live");
      expect(await ordersOf("NEXT_ONE")).toEqual([]);
      await shop.signOut();
      await shop.signIn(id);
      await (await shop.goTo(`orders/${waiting}`)).untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId: waiting }, { orderId: known }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "orders that only the copy in the browser has are shown until the gateway has answered, and not copied again",
    async () => {
      const { shop } = await newCustomer();
      await shop.add("PRODUCT_006");
      const orderId = await shop.checkOut();
      await shop.untilStatus("confirmed");
      const copied = async () => {
        const { orders = [] } = JSON.parse((await stored(shop.page))["store.orders"] ?? "{}");
        return orders.map((order: { orderId: string }) => order.orderId);
      };
      await eventually(async () => Bun.deepEquals(await copied(), [orderId]), "the copy");
      await shop.page.goto("/liveness");
      await shop.page.evaluate(() => {
        const { orders, ...copy } = JSON.parse(localStorage.getItem("store.orders") ?? "{}");
        const stale = ["STALE_1", "STALE_2"].map((id) => ({ ...orders[0], orderId: id }));
        localStorage.setItem("store.orders", JSON.stringify({ ...copy, orders: [...orders, ...stale] }));
      });
      const released = Promise.withResolvers<void>();
      await shop.page.route(/\/orders\?/, async (route) => {
        await released.promise;
        await route.continue();
      });
      await shop.open("orders");
      const rows = shop.page.locator(".order-row");
      await eventually(async () => (await rows.count()) === 3, "the copy to be shown");
      released.resolve();
      await eventually(async () => (await rows.count()) === 1, "the gateway's answer to be shown");
      await rows.filter({ hasText: orderId }).waitFor();
      await eventually(async () => Bun.deepEquals(await copied(), [orderId]), "the copy to be renewed");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "an order that the browser refuses to store says so, and is sent by the tab that has it",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.page.evaluate(() => {
        Storage.prototype.setItem = () => {
          throw new DOMException("full", "QuotaExceededError");
        };
      });
      await shop.add("PRODUCT_006", 3);
      await killGateway(store);
      // Before it is placed.
      await shop.page.locator(".shop").getByText("What you order is kept in this browser").waitFor();
      const orderId = await shop.checkOut();
      await shop.page.getByText("This browser refuses to keep your order: leave this page open").waitFor();
      await gateway.start();
      await shop.untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId, items: [{ quantity: 3 }] }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "where the storage is full, copies of what the gateway has give way to the order",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006");
      await eventually(
        async () => "store.products" in (await stored(shop.page)),
        "the copy of the catalogue",
      );
      // With the largest power of two at a time: up to the last character.
      await shop.page.evaluate(() => {
        let filler = "";
        for (let length = 2 ** 23; length >= 1; length = Math.trunc(length / 2)) {
          try {
            localStorage.setItem("filler", filler + "x".repeat(length));
            filler += "x".repeat(length);
          } catch {}
        }
      });
      await killGateway(store);
      const orderId = await shop.checkOut();
      await shop.page.getByText(KEPT).waitFor();
      expect(await stored(shop.page)).not.toHaveProperty("store.products");
      await shop.page.reload();
      await shop.page.getByText(KEPT).waitFor();
      await gateway.start();
      await shop.untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "an order that was kept for more than a week is not sent without its customer, unless the gateway has it",
    async () => {
      for (const arrived of [false, true]) {
        const { shop, id, orderId } = await keptOrder();
        await shop.page.evaluate((key) => {
          const order = JSON.parse(localStorage.getItem(key) ?? "{}");
          const weekOld = Date.now() - 8 * 24 * 60 * 60 * 1000;
          localStorage.setItem(key, JSON.stringify({ ...order, placedAt: weekOld }));
        }, `store.sending.${id}.${orderId}`);
        await shop.page.reload();
        await shop.page.getByText(KEPT).waitFor();
        if (arrived) await shop.context.setOffline(true);
        await gateway.start();
        if (arrived) {
          // The answer to its first request was lost.
          await (await store.signIn(id)).place({
            orderId,
            items: [{ productId: "PRODUCT_006", quantity: 2 }],
          });
          await shop.context.setOffline(false);
          await shop.untilStatus("confirmed");
        } else {
          await shop.page.getByRole("alert").getByText("It was kept here for more than 7 days").waitFor();
        }
        expect(await ordersOf(id)).toHaveLength(arrived ? 1 : 0);
        await shop.context.close();
      }
    },
    TEST_LIMIT_MS,
  );

  test(
    "an order that an earlier version of the page has kept is sent",
    async () => {
      const { shop, id } = await newCustomer();
      const other = await shop.context.newPage();
      await other.goto("/liveness");
      await other.evaluate((key) => {
        const lines = [{ productId: "PRODUCT_006", quantity: 2 }];
        localStorage.setItem(key, JSON.stringify([{ orderId: "OF_BEFORE", lines, failures: 3 }]));
      }, `store.sending.${id}`);
      await shop.page.reload();
      await (await shop.goTo("orders/OF_BEFORE")).untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId: "OF_BEFORE", items: [{ quantity: 2 }] }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a gateway that hangs: the page opens from the browser, and an order is placed once it answers",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.add("PRODUCT_006");
      gateway.pause();
      try {
        await shop.page.reload();
        const orderId = await shop.checkOut();
        await shop.untilStatus("sending");
        gateway.resume();
        await shop.untilStatus("confirmed");
        expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      } finally {
        if (gateway.state === "paused") gateway.resume();
      }
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "another tab clears the storage: the order is kept all the same; what is no order is not counted",
    async () => {
      const { shop, id, orderId } = await keptOrder();
      const other = await shop.context.newPage();
      await shop.page.route("**/orders", (route) => route.abort());
      await gateway.start();
      await other.goto("/liveness");
      await other.evaluate(() => localStorage.clear());
      await shop.page
        .getByText("1 order is kept in this browser until whoever placed it signs in.")
        .waitFor();
      await other.evaluate(() => {
        localStorage.setItem("store.sending.SOMEBODY.BROKEN", "{}");
        const lines = [{ productId: "PRODUCT_006", quantity: 2 }];
        localStorage.setItem("store.sending.SOMEBODY", JSON.stringify([{ orderId: "OF_BEFORE", lines }]));
      });
      await shop.page.getByText("2 orders are kept in this browser until whoever placed them").waitFor();
      await shop.page.unrouteAll();
      await shop.signIn(id);
      await (await shop.goTo(`orders/${orderId}`)).untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId }]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "a gateway that refuses to answer just now is not said to be out of reach; one behind a proxy is",
    async () => {
      const { shop } = await newCustomer();
      const status = { now: 429 };
      await shop.page.route("**/products", (route) =>
        route.fulfill({ status: status.now, json: { detail: "Not now." } }),
      );
      const isRefusal = (response: Response) => response.status() === 429;
      // The page has handled the first one when it asks again.
      for (let answers = 0; answers < 2; answers++) await shop.page.waitForResponse(isRefusal);
      const unreached = shop.page.getByText(
        "Prices and stock are as they were when the store last answered.",
      );
      expect(await unreached.count()).toBe(0);
      status.now = 502;
      await unreached.waitFor();
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
