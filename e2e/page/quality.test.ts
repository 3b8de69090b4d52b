import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { cloudEvent } from "../support/bad-messages.ts";
import { slowTest } from "../support/slow-test.ts";
import { axeViolations, documentBasics } from "./accessibility.ts";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { type Shop, type View, withoutSupervisor } from "./shop.ts";
import { layoutShift, recordShifts, shiftsByView, transferred } from "./vitals.ts";

/** The limits for the compressed size of a first visit, and for the layout shift (web.dev: up to 0.1 is good). */
const MAX_TRANSFER = 100_000;
const MAX_SHIFT = 0.02;
/** For one change from a view to another. */
const MAX_CHANGE_SHIFT = 0.05;

const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } as const;
const sections = ["admin", "admin/stock", "admin/dead-letters", "admin/topics"] as const;
const views: readonly View[] = ["", "basket", "orders", ...sections, "figures", "tour"];

/** Each view after each other one. */
function changes(all: readonly View[]): View[] {
  return all.flatMap((one, index) => [...all.slice(index + 1).flatMap((other) => [one, other]), one]);
}

/** A PlaceOrder command for an unknown product, which the gateway would refuse. */
function unservable(orderId: string, customerId: string) {
  const price = { amount: 100, currency: "EUR" };
  const items = [{ productId: "PRODUCT_404", quantity: 1, unitPrice: price }];
  const data = { orderId, customerId, items, total: price };
  const message = cloudEvent({ type: "store.order.place.v1", subject: orderId, data });
  return {
    topic: "order.commands",
    key: Buffer.from(orderId),
    value: Buffer.from(JSON.stringify(message)),
  };
}

describePage("the page's quality", () => {
  const fixture = usePageFixture();
  const { store } = fixture;

  /** Signs in, places an order and fills the basket. */
  async function customer(shop: Shop, id: string): Promise<string> {
    await (await shop.open()).signIn(id);
    await shop.add("PRODUCT_006");
    await shop.goTo("basket");
    const orderId = await shop.checkOut();
    await shop.untilStatus("confirmed");
    await (await shop.goTo("")).add("PRODUCT_009", 2);
    return orderId;
  }

  for (const [scheme, size, run] of [
    ["light", {}, slowTest],
    ["dark", phone, slowTest],
  ] as const) {
    run(
      `axe finds no violation on any view, ${scheme}, ${"isMobile" in size ? "on a phone" : "wide"}`,
      async () => {
        const shop = await (await fixture.visit({ colorScheme: scheme, ...size })).open();
        await shop.page.locator("header summary").click();
        expect(await axeViolations(shop.page)).toEqual([]);
        await shop.page.keyboard.press("Escape");
        const orderId = await customer(shop, `READER_${scheme}`);
        for (const view of [...views, `orders/${orderId}` as const]) {
          await shop.goTo(view);
          expect({ view, findings: await axeViolations(shop.page) }).toEqual({ view, findings: [] });
        }
        expect(shop.consoleMessages()).toEqual([]);
        await shop.context.close();
      },
      TEST_LIMIT_MS,
    );
  }

  test(
    "a first visit loads less than 100 kB, a second one less than 10 kB",
    async () => {
      const shop = await fixture.visit();
      const bytes = await transferred(shop.page, async () => {
        await shop.open();
        await shop.product("PRODUCT_001").waitFor();
      });
      expect(bytes.total).toBeLessThan(MAX_TRANSFER);
      expect(bytes.encodings).toContain("br");
      const again = await transferred(shop.page, async () => {
        await shop.page.reload();
        await shop.product("PRODUCT_001").waitFor();
      });
      expect(again.total).toBeLessThan(MAX_TRANSFER / 10);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "the layout is stable during the load and after notifications",
    async () => {
      for (const size of [{}, phone]) {
        const shop = await fixture.visit(size);
        await recordShifts(shop.page);
        await customer(shop, `CALM_${"isMobile" in size ? "narrow" : "wide"}`);
        await shop.page.reload();
        await shop.product("PRODUCT_001").waitFor();
        expect(await layoutShift(shop.page)).toBeLessThan(MAX_SHIFT);
        await shop.context.close();
      }
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "no change from one view to another shifts the layout",
    async () => {
      const ready: Readonly<Record<string, string>> = {
        "": "[data-product]",
        orders: ".order-row",
        admin: "[data-outbox]",
        "admin/stock": "[data-stock]",
        "admin/dead-letters": "[data-dead-letter]",
        "admin/topics": "[data-topic]",
        figures: ".charts",
        tour: "[data-promise]",
      };
      const value = Buffer.from("not a message");
      await store.records.write([{ topic: "order.commands", key: Buffer.from("SHIFT"), value }]);
      for (const size of [{}, phone]) {
        const shop = await fixture.visit(size);
        await recordShifts(shop.page);
        const orderId = await customer(shop, `MOVER_${"isMobile" in size ? "narrow" : "wide"}`);
        const all: readonly View[] = [...views, `orders/${orderId}`];
        for (const view of changes(all)) {
          await shop.goTo(view);
          await shop.page
            .locator(ready[view] ?? (view === "basket" ? "h1" : ".status-card"))
            .first()
            .waitFor();
        }
        const shifts = await shiftsByView(shop.page);
        expect(shifts.filter(({ shift }) => shift >= MAX_CHANGE_SHIFT)).toEqual([]);
        expect(new Set(shifts.map(({ view }) => view)).size).toBe(all.length);
        await shop.context.close();
      }
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "on a phone no view is wider than the screen, and the basket is reachable",
    async () => {
      const shop = await fixture.visit(phone);
      const orderId = await customer(shop, "PHONE");
      const longest = "W".repeat(64);
      await store.records.write([unservable(longest, "PHONE")]);
      await shop.goTo(`orders/${longest}`);
      await shop.untilStatus("rejected");
      await shop.page.locator(".status-text", { hasText: "unknown product PRODUCT_404." }).waitFor();
      // WCAG 1.4.10: 320 pixels are 1280 pixels at 400 %.
      for (const width of [phone.viewport.width, 320]) {
        await shop.page.setViewportSize({ ...phone.viewport, width });
        for (const view of [...views, `orders/${orderId}`, `orders/${longest}`] as const) {
          await shop.goTo(view);
          const shown = await shop.page.evaluate(() => document.documentElement.scrollWidth);
          expect({ view, shown }).toEqual({ view, shown: width });
        }
      }
      await shop.goTo("");
      await shop.page.getByRole("link", { name: "To the basket" }).tap();
      await shop.placeButton.tap();
      await shop.untilStatus("confirmed");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "prices are formatted for the locale of the browser",
    async () => {
      const shop = await fixture.visit({ locale: "de-DE" });
      await shop.open();
      const price = await shop.product("PRODUCT_001").locator(".product-price").textContent();
      expect(price?.replace(/\s/g, " ")).toBe("10,00 €");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  slowTest(
    "without a supervisor there is the shop and no view for operators",
    async () => {
      const shop = await fixture.visit();
      await withoutSupervisor(shop.page);
      await (await shop.open()).signIn("PRODUCTION");
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.untilStatus("confirmed");
      const links = await shop.page.getByRole("navigation").getByRole("link").allTextContents();
      expect(links).toEqual(["Shop", "Orders"]);
      const messages = ["PlaceOrder", "OrderPlaced", "StockReserved", "OrderConfirmed"];
      await eventually(
        async () => Bun.deepEquals(await shop.timeline(), messages),
        "every message to be shown",
      );
      for (const view of ["admin", "figures", "tour"] as const) {
        await shop.goTo(view);
        await shop.page.getByText("This store runs without a supervisor").waitFor();
        expect(await shop.page.locator("main").getByRole("button").count()).toBe(0);
      }
      expect(shop.consoleMessages()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "the document has what Lighthouse checks",
    async () => {
      const shop = await (await fixture.visit()).open();
      expect(await documentBasics(shop.page)).toEqual({
        lang: "en",
        title: true,
        description: true,
        viewport: true,
        landmarks: ["banner", "navigation", "main", "contentinfo"],
        headings: 1,
      });
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
