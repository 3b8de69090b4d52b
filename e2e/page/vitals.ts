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
  /** Each shift by its time, and each change of the view. */
  shiftLog: { readonly at: number; readonly value: number; readonly moved: string[] }[];
  viewLog: { readonly at: number; readonly view: string }[];
}

/** Records layout shifts without user input from the next load on (Layout Instability API). */
export async function recordShifts(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const counted = window as unknown as Shifts;
    counted.shifts = 0;
    counted.shiftLog = [];
    counted.viewLog = [{ at: 0, view: window.location.hash }];
    window.addEventListener("hashchange", () => {
      counted.viewLog.push({ at: performance.now(), view: window.location.hash });
    });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { value, hadRecentInput, sources } = entry as PerformanceEntry & {
          value: number;
          hadRecentInput: boolean;
          sources: { node: Node | null }[];
        };
        if (hadRecentInput) continue;
        counted.shifts += value;
        const moved = sources.map(({ node }) =>
          node instanceof Element ? node.outerHTML.slice(0, 80) : String(node?.textContent),
        );
        counted.shiftLog.push({ at: entry.startTime, value, moved });
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
}

/** The cumulative layout shift since the page was loaded. */
export function layoutShift(page: Page): Promise<number> {
  return page.evaluate(() => (window as unknown as Shifts).shifts);
}

/** The layout shift, and what moved, from each change of the view until the next one, after `recordShifts`. */
export function shiftsByView(
  page: Page,
): Promise<{ view: string; from: string; shift: number; moved: string[] }[]> {
  return page.evaluate(async () => {
    // The entries of the last frame are delivered after it.
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    const { shiftLog, viewLog } = window as unknown as Shifts;
    return viewLog.map(({ at, view }, index) => {
      const end = viewLog[index + 1]?.at ?? Number.POSITIVE_INFINITY;
      const own = shiftLog.filter((shift) => shift.at >= at && shift.at < end);
      const shift = own.reduce((sum, { value }) => sum + value, 0);
      return {
        view,
        from: viewLog[index - 1]?.view ?? "",
        shift,
        moved: own.flatMap(({ moved }) => moved),
      };
    });
  });
}
