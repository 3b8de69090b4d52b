import { describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Page } from "playwright-core";
import { describePage, TEST_LIMIT_MS, usePageFixture } from "./fixture.ts";
import { transferred } from "./vitals.ts";

/** Lighthouse's slow 4G; throughput in bytes a second. */
const SLOW_4G = {
  offline: false,
  latency: 150,
  downloadThroughput: 1_600_000 / 8,
  uploadThroughput: 750_000 / 8,
};
const CPU_SLOWDOWN = 4;
/** The compressed size of a first visit; quality.test.ts measures it without a limit of the line. */
const MAX_TRANSFER = 100_000;
/** As many times is each measured; the median is reported. */
const VISITS = 5;

interface LargestPaint {
  readonly ms: number;
  readonly tag: string;
  readonly text: string;
}

interface LargestPaintEntry extends PerformanceEntry {
  readonly element: Element | null;
}

/** Records the largest contentful paint from the next load on (Largest Contentful Paint API). */
async function recordLargestPaint(page: Page): Promise<() => Promise<LargestPaint | undefined>> {
  await page.addInitScript(() => {
    const recorded = window as unknown as { largestPaint?: LargestPaint };
    new PerformanceObserver((list) => {
      const { startTime, element } = list.getEntries().at(-1) as LargestPaintEntry;
      recorded.largestPaint = {
        ms: startTime,
        tag: element?.tagName.toLowerCase() ?? "",
        text: element?.textContent ?? "",
      };
    }).observe({ type: "largest-contentful-paint", buffered: true });
  });
  return () =>
    page.evaluate(() => (window as unknown as { largestPaint?: LargestPaint }).largestPaint ?? undefined);
}

/** Without SLOW_TESTS not even the store is started. */
const describeSlow = process.env.SLOW_TESTS === "true" ? describePage : describe.skip;

describeSlow("the first visit on a slow phone and a slow line", () => {
  const fixture = usePageFixture();

  for (const [name, size] of [
    ["phone", { viewport: { width: 412, height: 823 }, isMobile: true, hasTouch: true }],
    ["desktop", {}],
  ] as const) {
    test(
      `${name}: the largest paint is a text of the first screen, which waits for no answer of the store`,
      async () => {
        const paints: (LargestPaint & { bytes: number })[] = [];
        for (let visit = 0; visit < VISITS; visit++) {
          const shop = await fixture.visit(size);
          const devtools = await shop.context.newCDPSession(shop.page);
          await devtools.send("Network.enable");
          await devtools.send("Network.emulateNetworkConditions", SLOW_4G);
          await devtools.send("Emulation.setCPUThrottlingRate", { rate: CPU_SLOWDOWN });
          const largestPaint = await recordLargestPaint(shop.page);
          const { total } = await transferred(shop.page, async () => {
            await shop.open();
            await shop.product("PRODUCT_001").waitFor();
          });
          const paint = await largestPaint();
          if (paint !== undefined) paints.push({ ...paint, bytes: total });
          await shop.context.close();
        }
        const times = paints.map(({ ms }) => ms).sort((one, other) => one - other);
        process.stderr.write(
          `largest contentful paint, ${name}, ${CPU_SLOWDOWN}x CPU, slow 4G: median ` +
            `${times[Math.floor(times.length / 2)]?.toFixed(0)} ms of ${times.map((ms) => ms.toFixed(0)).join(", ")}; ` +
            `${paints[0]?.bytes} bytes; “${paints[0]?.text}”\n`,
        );
        expect(paints).toHaveLength(VISITS);
        // The same text is painted while no request for data is answered.
        const shop = await fixture.visit(size);
        const held = Promise.withResolvers<void>();
        await shop.page.route(/\/(products|processes|figures|traffic)\b/, async (route) => {
          await held.promise;
          await route.abort();
        });
        const largestPaint = await recordLargestPaint(shop.page);
        await shop.open();
        await eventually(
          async () => (await largestPaint())?.text === paints[0]?.text,
          `“${paints[0]?.text}” to be painted`,
        );
        held.resolve();
        await shop.context.close();
        for (const { tag, text, bytes } of paints) {
          expect({ tag, text }).toEqual({ tag: "p", text: paints[0]?.text ?? "" });
          expect(bytes).toBeLessThan(MAX_TRANSFER);
        }
      },
      TEST_LIMIT_MS,
    );
  }
});
