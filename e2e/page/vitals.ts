import type { Page } from "playwright-core";

/** The transferred bytes, headers included, and the content encodings during `work`. */
export async function transferred(
  page: Page,
  work: () => Promise<void>,
): Promise<{ total: number; encodings: string[] }> {
  const session = await page.context().newCDPSession(page);
  let total = 0;
  const encodings = new Set<string>();
  session.on("Network.responseReceived", ({ response }) => {
    encodings.add(response.headers["Content-Encoding"] ?? response.headers["content-encoding"] ?? "identity");
  });
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    total += encodedDataLength;
  });
  await session.send("Network.enable");
  try {
    await work();
  } finally {
    await session.detach();
  }
  return { total, encodings: [...encodings] };
}

interface Shifts {
  shifts: number;
}

/** Records layout shifts without user input from the next load on (Layout Instability API). */
export async function recordShifts(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const counted = window as unknown as Shifts;
    counted.shifts = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { value, hadRecentInput } = entry as PerformanceEntry & {
          value: number;
          hadRecentInput: boolean;
        };
        if (!hadRecentInput) counted.shifts += value;
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
}

/** The cumulative layout shift since the page was loaded. */
export function layoutShift(page: Page): Promise<number> {
  return page.evaluate(() => (window as unknown as Shifts).shifts);
}
