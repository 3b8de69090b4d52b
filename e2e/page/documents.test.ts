import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { serviceNames } from "@distributed-messaging/services/registry";
import type { Browser } from "playwright-core";
import { OwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";
import { axeViolations } from "./accessibility.ts";
import { launch, visitor } from "./browser.ts";
import { describePage } from "./fixture.ts";

const START_LIMIT_MS = 120_000;
const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } as const;

describePage("the pages of the documents", () => {
  const store = new OwnStore();
  let browser: Browser | undefined;

  beforeAll(async () => {
    [browser] = await Promise.all([launch(), store.startAll()]);
  }, START_LIMIT_MS);

  afterAll(async () => {
    await browser?.close();
    await store.dispose();
  }, START_LIMIT_MS);

  describe.each([
    ["light", {}],
    ["dark", phone],
  ] as const)("%s", (colorScheme, size) => {
    // Without the slow tests, both documents of one service, in one colour.
    test.each(runsSlowTests ? [...serviceNames] : colorScheme === "light" ? (["order"] as const) : [])(
      "%s: axe finds nothing, nothing is wider than the screen, and nothing else is loaded",
      async (name) => {
        if (browser === undefined) throw new Error("there is no browser");
        const context = await visitor(browser, { colorScheme, ...size });
        const page = await context.newPage();
        const asked: string[] = [];
        const said: string[] = [];
        page.on("request", (request) => asked.push(request.url()));
        page.on("console", (message) => said.push(message.text()));
        for (const path of ["/openapi", "/asyncapi"]) {
          const url = store.url(name) + path;
          asked.length = 0;
          await page.goto(url);
          // What is closed has no layout. There is no script in the page that could open it.
          const entries = await page.locator("details > summary").all();
          expect(entries.length).toBeGreaterThan(1);
          await page.evaluate(() => {
            for (const entry of document.querySelectorAll("details")) entry.open = true;
          });
          const tooWide = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          expect({ url, tooWide, findings: await axeViolations(page) }).toEqual({
            url,
            tooWide: 0,
            findings: [],
          });
          // The browser asks for an icon by itself.
          expect(asked.filter((one) => !one.endsWith("/favicon.ico"))).toEqual([url]);
          const folder = process.env.DOCUMENT_PICTURES;
          if (folder !== undefined)
            await page.screenshot({ path: `${folder}/${name}-${colorScheme}${path.replace("/", "-")}.png` });
        }
        expect(said.filter((text) => !text.includes("favicon"))).toEqual([]);
        await context.close();
      },
      START_LIMIT_MS,
    );
  });
});
