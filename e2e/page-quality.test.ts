import { expect, test } from "bun:test";
import { eventually } from "./eventually.ts";
import { ratings, seriousFindings } from "./page/accessibility.ts";
import { describePage, TEST_LIMIT_MS, useBench } from "./page/bench.ts";
import { type Shop, type View, withoutSupervisor } from "./page/shop.ts";
import { layoutShift, recordShifts, transferred } from "./page/vitals.ts";

/** The page's whole weight, compressed, and the most that may move by itself (web.dev calls up to 0.1 good). */
const MAX_TRANSFER = 100_000;
const MAX_SHIFT = 0.02;

const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } as const;
const views: readonly View[] = ["", "basket", "orders", "counter", "figures", "tour"];

describePage("the page's quality", () => {
  const bench = useBench();

  /** Signed in, with something ordered and something in the basket. */
  async function customer(shop: Shop, id: string): Promise<string> {
    await (await shop.open()).signIn(id);
    await shop.add("PRODUCT_006");
    await shop.goTo("basket");
    const orderId = await shop.checkOut();
    await shop.reaches("confirmed");
    await (await shop.goTo("")).add("PRODUCT_009", 2);
    return orderId;
  }

  for (const [scheme, size] of [
    ["light", {}],
    ["dark", phone],
  ] as const) {
    test(
      `axe finds nothing serious on any view, ${scheme}, ${"isMobile" in size ? "on a phone" : "wide"}`,
      async () => {
        const shop = await bench.visit({ colorScheme: scheme, ...size });
        const orderId = await customer(shop, `READER_${scheme}`);
        for (const view of [...views, `orders/${orderId}` as const]) {
          await shop.goTo(view);
          expect({ view, findings: await seriousFindings(shop.page) }).toEqual({ view, findings: [] });
        }
        expect(shop.complaints.list()).toEqual([]);
        await shop.context.close();
      },
      TEST_LIMIT_MS,
    );
  }

  test(
    "everything that is loaded is less than 100 kB, and next to nothing the second time",
    async () => {
      const shop = await bench.visit();
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

  test(
    "nothing moves by itself: not while it loads, not when news comes",
    async () => {
      for (const size of [{}, phone]) {
        const shop = await bench.visit(size);
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

  test(
    "on a phone nothing is wider than the screen, and the basket is at hand",
    async () => {
      const shop = await bench.visit(phone);
      const orderId = await customer(shop, "PHONE");
      for (const view of [...views, `orders/${orderId}` as const]) {
        await shop.goTo(view);
        const width = await shop.page.evaluate(() => document.documentElement.scrollWidth);
        expect({ view, width }).toEqual({ view, width: phone.viewport.width });
      }
      await shop.goTo("");
      await shop.page.getByRole("link", { name: "To the basket" }).tap();
      await shop.placeButton.tap();
      await shop.reaches("confirmed");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "an order can be placed with the keyboard alone, and the focus goes along",
    async () => {
      const shop = await bench.visit();
      await (await shop.open()).signIn("TYPIST");
      await shop.product("PRODUCT_006").waitFor();
      const focused = () =>
        shop.page.evaluate(
          () => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent,
        );
      const tabTo = async (name: RegExp) => {
        for (let presses = 0; presses < 80; presses++) {
          await shop.page.keyboard.press("Tab");
          if (name.test((await focused()) ?? "")) return;
        }
        throw new Error(`the keyboard does not reach ${name}`);
      };
      await shop.page.locator("body").press("Home");
      await tabTo(/^Skip to the content/);
      await shop.page.keyboard.press("Enter");
      await tabTo(/^Add: Paper filters/);
      await shop.page.keyboard.press("Enter");
      await eventually(
        "the focus on what took the button's place",
        async () => (await focused()) === "One Paper filters, 100 more",
      );
      await tabTo(/^Place the order/);
      await shop.page.keyboard.press("Enter");
      await shop.reaches("confirmed");
      expect(await focused()).toStartWith("Order");
      expect(await shop.page.getByRole("status").textContent()).toContain("confirmed");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "prices are written as their reader writes them",
    async () => {
      const shop = await bench.visit({ locale: "de-DE" });
      await shop.open();
      const price = await shop.product("PRODUCT_001").locator(".product-price").textContent();
      expect(price?.replace(/\s/g, " ")).toBe("10,00 €");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "without a supervisor there is a shop, and nothing behind the counter",
    async () => {
      const shop = await bench.visit();
      await withoutSupervisor(shop.page);
      await (await shop.open()).signIn("PRODUCTION");
      await shop.add("PRODUCT_006");
      await shop.checkOut();
      await shop.reaches("confirmed");
      expect(await shop.page.getByRole("link", { name: "Behind the counter" }).count()).toBe(0);
      expect(await shop.timeline()).toEqual(["PlaceOrder", "OrderPlaced", "StockReserved", "OrderConfirmed"]);
      await shop.goTo("counter");
      await shop.page.getByText("This store runs without a supervisor").waitFor();
      expect(shop.complaints.list()).toEqual([]);
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "each of its parts has what Lighthouse looks for",
    async () => {
      const shop = await (await bench.visit()).open();
      expect(await ratings(shop.page)).toEqual({
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
