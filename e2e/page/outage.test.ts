import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { LOST_CONNECTIONS } from "./browser.ts";
import { describePage, TEST_LIMIT_MS, useBench } from "./fixture.ts";
import type { Shop } from "./shop.ts";

describePage("the page while parts of the store are down", () => {
  const bench = useBench();
  const { store } = bench;
  let visitors = 0;

  async function newCustomer(): Promise<{ shop: Shop; id: string }> {
    const id = `PATIENT_${++visitors}`;
    const shop = await (await bench.visit()).open();
    return { shop: await shop.signIn(id), id };
  }
  const ordersOf = async (id: string) => (await store.signIn(id)).orders();

  test(
    "inventory stopped: pending, and the page says why; started: confirmed, without a reload",
    async () => {
      const { shop } = await newCustomer();
      await store.process("inventory").stop();
      await shop.lamp("inventory", "stopped").waitFor();
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.reaches("pending");
      await shop.page.locator(".status-text", { hasText: "inventory does not run just now" }).waitFor();
      expect(await shop.page.locator(".lamps-text").textContent()).toContain("stay “pending”");
      await store.process("inventory").start();
      await shop.reaches("confirmed");
      await shop.lamp("inventory", "ready").waitFor();
      expect(shop.complaints.list()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "broker killed while the order is being placed: accepted, and confirmed once it is back",
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
      await shop.reaches("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed" }]);
      expect(store.process("broker").restarts).toBe(1);
      await store.process("broker").ready();
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "gateway down: the page keeps the order, says so, and places it once when the gateway is back",
    async () => {
      const { shop, id } = await newCustomer();
      await shop.page.setViewportSize({ width: 390, height: 844 });
      const top = () => shop.page.locator("main").evaluate((main) => main.getBoundingClientRect().top);
      await shop.page.locator(".lamps-text", { hasText: "Everything runs." }).waitFor();
      const before = await top();
      await shop.add("PRODUCT_006");
      await shop.goTo("basket");
      await store.process("api-gateway").stop();
      const orderId = await shop.checkOut();
      await shop.reaches("sending");
      await shop.page.getByText("The store did not answer").waitFor();
      await shop.lamp("api-gateway", "stopped").waitFor();
      // The longest sentence that there is, and nothing below it has moved.
      expect(await top()).toBe(before);
      await store.process("api-gateway").start();
      await shop.reaches("confirmed");
      expect(await ordersOf(id)).toMatchObject([{ orderId, status: "confirmed" }]);
      expect(shop.complaints.list(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "the live figures show what waits while the broker is down, and how long it took in the end",
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
      await shows("all groups", /^no answer$/);
      await shows("has waited", /^\d\.\d s$/);
      const totals = (text: string) =>
        shop.page.locator("[data-totals]", { hasText: text }).waitFor({ state: "attached" });
      await totals("1 order accepted, 0 confirmed");
      await store.process("broker").start();
      await totals("1 order accepted, 1 confirmed");
      await shows("half of them within", /^\d+\.\d s$/);
      await shows("all groups", /^0$/);
      await shows("has waited", /^0 ms$/);
      // A line begins with its second point.
      await eventually(
        async () => (await shop.page.locator('.chart-line[d*="L"]').count()) === 6,
        "six lines",
      );
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "WebSocket cut: the page asks instead, and resumes behind what it has",
    async () => {
      const { shop, id } = await newCustomer();
      const sockets: string[] = [];
      shop.page.on("websocket", (socket) => sockets.push(socket.url()));
      await shop.feed("live");
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.reaches("confirmed");
      const customer = await store.signIn(id);
      const last = await eventually(async () => {
        const seqs = (await customer.notifications()).map(({ seq }) => seq);
        return seqs.length === 2 && seqs.at(-1);
      }, "two notifications");

      await store.process("notification").stop();
      await shop.feed("polling");
      await (await shop.goTo("")).add("PRODUCT_006", 2);
      await shop.checkOut();
      await shop.reaches("confirmed");

      await store.process("notification").start();
      await shop.feed("live");
      expect(sockets.at(-1)).toEndWith(`/notifications?after=${last}`);
      const missed = (await customer.notifications(last)).length;
      const key = `store.seq.${id}.`;
      await eventually(async () => {
        const stored = await shop.page.evaluate((prefix) => {
          const name = Object.keys(localStorage).find((one) => one.startsWith(prefix)) ?? "";
          return Number(localStorage.getItem(name));
        }, key);
        return stored === last + missed;
      }, "the page to have what it missed");
      expect(shop.complaints.list(LOST_CONNECTIONS)).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
