import type { Page } from "playwright-core";

/** Messages are drawn more slowly than they travel. */
export async function untilMapRests(page: Page): Promise<void> {
  await page.locator(".map-dot, .map-line-used").first().waitFor({ state: "detached" });
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
