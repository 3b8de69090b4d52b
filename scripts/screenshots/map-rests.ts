import type { Page } from "playwright-core";

/** Between two messages of an order the map is quiet for less. */
const QUIET_MS = 1_500;

/** Messages are drawn more slowly than they travel. */
export async function untilMapRests(page: Page): Promise<void> {
  const moving = page.locator(".map-dot, .map-line-used").first();
  for (;;) {
    await moving.waitFor({ state: "detached" });
    const movesAgain = await moving.waitFor({ state: "attached", timeout: QUIET_MS }).then(
      () => true,
      () => false,
    );
    if (!movesAgain) return;
  }
}

/** Until nothing waits anywhere, in a store in which everything runs. */
export async function untilNothingWaits(page: Page): Promise<void> {
  await page.locator(".map-badge, .map-counts.alarming").first().waitFor({ state: "detached" });
  await untilMapRests(page);
}

/** Until messages wait for one service only, which does not run. */
export async function untilOnlyWaits(page: Page, service: string): Promise<void> {
  const others = page.locator(`.map-part:not([data-process="${service}"]) .map-badge`);
  await page.locator(`[data-process="${service}"] .map-badge`).waitFor();
  await others.first().waitFor({ state: "detached" });
}
