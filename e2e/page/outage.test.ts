import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { slowTest } from "../support/slow-test.ts";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, killGateway, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { KEPT, type Shop } from "./shop.ts";

describePage("the page while parts of the store are down", () => {
  const fixture = usePageFixture();
  const { store } = fixture;
  let visitors = 0;

  async function newCustomer(): Promise<{ shop: Shop; id: string }> {
    const id = `PATIENT_${++visitors}`;
    const shop = await (await fixture.visit()).open();
    return { shop: await shop.signIn(id), id };
  }
  const ordersOf = async (id: string) => (await store.signIn(id)).orders();

  slowTest(
    "with inventory stopped an order stays pending with an explanation; after its start it is confirmed, without a reload",
    async () => {
      const { shop } = await newCustomer();
      await store.process("inventory").stop();
      await shop.processLight("inventory", "stopped").waitFor();
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("pending");
      await shop.page.locator(".status-text", { hasText: "Not running: inventory." }).waitFor();
      expect(await shop.page.locator(".process-status-text").textContent()).toContain("stay “pending”");
      // The wait goes on while it is looked at, on a phone as well: with the names of the lanes.
      await shop.page.setViewportSize({ width: 390, height: 844 });
      const placed = shop.page.locator('.step[data-type="store.order.placed.v1"]');
      const wait = placed.getByText(/at the broker so\sfar: not handled by inventory$/);
      const shown = await wait.textContent();
      const bar = shop.page.locator(".plot-wait-broker.plot-wait-open");
      const widthOf = async () => (await bar.boundingBox())?.width ?? 0;
      await eventually(async () => (await wait.textContent()) !== shown, "the wait to become longer");
      await eventually(async () => (await widthOf()) > 10, "the bar to grow");
      for (const lane of ["api-gateway", "order", "broker", "inventory", "notification"]) {
        await shop.page.locator(".plot-lane", { hasText: lane }).waitFor();
      }
      await store.process("inventory").start();
      await shop.untilStatus("confirmed");
      await placed.getByText(/s at the broker, then handled by inventory$/).waitFor();
      await bar.waitFor({ state: "detached" });
      await shop.processLight("inventory", "ready").waitFor();
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "an order that is placed while the broker is killed is accepted, and confirmed after its restart",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.page.route(
        "**/orders",
        async (route) => {
          await store.process("broker").kill();
          await route.continue();
        },
        { times: 1 },
      );
      await shop.add("PRODUCT_006", 2);
      const orderId = await shop.checkOut();
      await shop.untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed" }]);
      expect(store.process("broker").restarts).toBe(1);
      await store.process("broker").ready();
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "with the gateway killed the page opens, also in a new tab; an order is kept over the end of all tabs, and confirmed once",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.page.setViewportSize({ width: 390, height: 844 });
      // In the document, however far it is scrolled.
      const top = () =>
        shop.page.locator("main").evaluate((main) => main.getBoundingClientRect().top + window.scrollY);
      await shop.page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
      await shop.add("PRODUCT_009");
      await shop.goTo("basket");
      const earlier = await shop.checkOut();
      await shop.untilStatus("confirmed");
      await shop.untilShellIsKept();
      await eventually(
        () =>
          shop.page.evaluate(() => localStorage.getItem("store.orders")?.includes('"confirmed"') ?? false),
        "the browser to know the order",
      );
      await shop.page.locator(".map-compact").waitFor();
      const before = await top();
      await killGateway(store);
      await shop.processLight("api-gateway", "stopped").waitFor();
      // The longest status text, and nothing below it has moved.
      expect(await top()).toBe(before);

      await shop.page.reload();
      await shop.page.getByText("When it last answered, this order was confirmed").waitFor();
      await (await shop.goTo("")).add("PRODUCT_006", 2);
      await shop.goTo("basket");
      const orderId = await shop.checkOut();
      await shop.untilStatus("sending");
      const other = await (await shop.otherTab()).open("orders");
      expect(await other.page.locator(".order-row .order-id").allTextContents()).toEqual([orderId, earlier]);
      await shop.page.close();
      await other.page.close();
      const again = await (await shop.otherTab()).open(`orders/${orderId}`);
      await again.page.getByText(KEPT).waitFor();

      await store.process("api-gateway").start();
      await again.untilStatus("confirmed");
      expect(await ordersOf(id)).toMatchObject([
        { orderId, status: "confirmed", items: [{ productId: "PRODUCT_006", quantity: 2 }] },
        { orderId: earlier },
      ]);
      expect(await again.page.evaluate(() => Object.keys(localStorage).join())).not.toContain(orderId);
      expect(shop.consoleMessages(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "the figures show the backlog while the broker is down, and the time to confirmation after its start",
    async () => {
      const { shop } = await newCustomer();
      await shop.goTo("figures");
      const figure = (name: string) => shop.page.locator(`[data-figure="${name}"]`);
      const shows = (name: string, pattern: RegExp) => figure(name).filter({ hasText: pattern }).waitFor();
      await shows("all groups", /^0$/);
      await shows("has waited", /^0 ms$/);
      await store.process("broker").stop();
      await shop.page.getByLabel("restock for them first").uncheck();
      await shop.page.getByRole("button", { name: "Place 1 order" }).click();
      // First what is true for some seconds only.
      await shows("has waited", /^\d\.\d s$/);
      await shows("all groups", /^no answer$/);
      const totals = (text: string) =>
        shop.page.locator("[data-totals]", { hasText: text }).waitFor({ state: "attached" });
      await totals("1 order accepted, 0 confirmed");
      await store.process("broker").start();
      await totals("1 order accepted, 1 confirmed");
      await shows("median (p50)", /^\d+\.\d s$/);
      await shows("all groups", /^0$/);
      await shows("has waited", /^0 ms$/);
      // A path has a line from its second point on.
      await eventually(
        async () => (await shop.page.locator('.chart-line[d*="L"]').count()) === 6,
        "six lines",
      );
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "without a WebSocket the page polls; the WebSocket resumes after the last received notification",
    async () => {
      const { shop, id } = await newCustomer();
      const sockets: string[] = [];
      shop.page.on("websocket", (socket) => sockets.push(socket.url()));
      await shop.untilConnection("live");
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      const customer = await store.signIn(id);
      const last = await eventually(async () => {
        const received = await customer.notifications();
        return received.length === 2 && received.at(-1);
      }, "two notifications");

      await store.process("notification").stop();
      await shop.untilConnection("polling");
      await (await shop.goTo("")).add("PRODUCT_006", 2);
      await shop.checkOut();
      await shop.untilStatus("confirmed");

      await store.process("notification").start();
      await shop.untilConnection("live");
      expect(sockets.at(-1)).toEndWith(`/notifications?after=${last.cursor}`);
      const newest = await eventually(async () => {
        const missed = await customer.notifications(last.seq);
        return missed.length === 2 && missed.at(-1)?.cursor;
      }, "two more notifications");
      const key = `store.cursor.${id}.`;
      await eventually(async () => {
        const stored = await shop.page.evaluate((prefix) => {
          const name = Object.keys(localStorage).find((one) => one.startsWith(prefix)) ?? "";
          return JSON.parse(localStorage.getItem(name) ?? "null");
        }, key);
        return stored === newest;
      }, "the page to have the missed notifications");
      expect(shop.consoleMessages(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
