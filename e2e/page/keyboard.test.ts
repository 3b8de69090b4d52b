import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";

describePage("the page without a mouse", () => {
  const fixture = usePageFixture();

  test(
    "an order can be placed with the keyboard, and the focus follows",
    async () => {
      const shop = await fixture.visit();
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
        async () => (await focused()) === "One Paper filters, 100 more",
        "the focus on the replacement of the button",
      );
      expect(await shop.product("PRODUCT_006").getByRole("group").ariaSnapshot()).toBe(
        [
          '- group "How many of Paper filters, 100":',
          "  - text: How many of Paper filters, 100",
          '  - button "One Paper filters, 100 less": −',
          '  - spinbutton "Number of Paper filters, 100": "1"',
          '  - button "One Paper filters, 100 more": +',
        ].join("\n"),
      );
      await shop.page.keyboard.press("Enter");
      await shop.page.getByRole("link", { name: "Basket 2" }).waitFor();
      await tabTo(/^Place the order/);
      await shop.page.keyboard.press("Enter");
      await shop.untilStatus("confirmed");
      expect(await focused()).toStartWith("Order");
      await eventually(
        async () => (await shop.page.getByRole("status").textContent())?.includes("confirmed"),
        "the announcement of the confirmed order",
      );
      await shop.page.locator('[data-type="store.order.confirmed.v1"]').waitFor();
      // What a screen reader has, without what differs from run to run.
      const orderId = await shop.orderShown();
      const tree = async (selector: string) =>
        (await shop.page.locator(selector).ariaSnapshot())
          .replaceAll(orderId, "ID")
          .replaceAll(/[\d:]+:\d\d(\.\d+)?(\s[AP]M)?/g, "TIME");
      // The order's messages come one by one, or together.
      const read = await shop.page.getByRole("status").locator("p").allTextContents();
      expect(read.join(" ").replaceAll(orderId, "ID")).toBe(
        "Paper filters, 100 is in the basket. Paper filters, 100: 2 in the basket. " +
          "We have received your order ID: 2 × PRODUCT_006, 13.00 EUR in all. " +
          "Your order ID is confirmed: everything in it is reserved for you.",
      );
      expect(await tree(".top-right")).toContain("- text: Signed in as TYPIST\n");
      expect(await tree(".order-facts")).toBe(
        [
          '- region "Order ID":',
          "  - paragraph:",
          '    - link "Your orders":',
          '      - /url: "#/orders"',
          '  - heading "Order ID" [level=1]',
          "  - paragraph: confirmed TIME",
          "  - paragraph: Everything is reserved for you.",
          '  - button "Cancel this order"',
          "  - paragraph: Placed TIME",
          "  - list:",
          "    - listitem: 2 × Paper filters, 100 €13.00",
          "  - paragraph: Total €13.00",
        ].join("\n"),
      );
      const way = await tree(".order-way");
      for (const part of [
        '  - heading "How this order travelled" [level=2]\n',
        '  - figure "The order on a time axis; the list says the same in words"\n',
        "      - paragraph: The gateway has the order on disk and asks for it to be carried out.\n",
        // And how long it waited.
        "      - paragraph: api-gateway → order",
        '      - paragraph: "Everything is reserved: confirmed."\n',
      ]) {
        expect(way).toContain(part);
      }
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );

  test(
    "the sign-in menu closes with Escape and on blur; after a sign-in or sign-out its replacement has the focus",
    async () => {
      const shop = await (await fixture.visit()).open();
      const { page } = shop;
      const menu = page.locator("header details");
      const focused = () => page.evaluate(() => document.activeElement?.textContent);
      const opened = () => menu.getAttribute("open");
      await page.locator("header summary").focus();
      await page.keyboard.press("Enter");
      await page.keyboard.press("Tab");
      expect([await opened(), await focused()]).toEqual(["", "CUSTOMER_001"]);
      await page.keyboard.press("Escape");
      expect([await opened(), await focused()]).toEqual([null, "Sign in"]);
      await page.keyboard.press("Enter");
      await page.keyboard.press("Shift+Tab");
      expect([await opened(), await focused()]).toEqual([null, "Basket 0"]);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Sign out" }).waitFor();
      await eventually(async () => (await focused()) === "Coffee gear", "the focus in the view");
      await page.getByRole("button", { name: "Sign out" }).press("Enter");
      await eventually(async () => (await focused()) === "Sign in", "the focus on the menu");
      await shop.context.close();
    },
    TEST_LIMIT_MS,
  );
});
