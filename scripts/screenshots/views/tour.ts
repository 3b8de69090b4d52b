import type { Shop } from "@distributed-messaging/e2e/page/shop";
import { untilNothingWaits, untilOnlyWaits } from "../map-rests.ts";
import type { View } from "./view.ts";

/** Opens a promise of the tour, step by step. The first step is done. */
export async function openPromise(shop: Shop, promise: number): Promise<void> {
  await shop.goTo("tour");
  await shop.page.locator(`[data-promise="${promise}"] button.primary`).click();
  await untilStepIsDone(shop);
}

async function untilStepIsDone({ page }: Shop): Promise<void> {
  await page.locator('.player-controls .primary[aria-disabled="false"]').waitFor();
}

/** Begins the next step. */
export async function beginStep({ page }: Shop): Promise<void> {
  const place = page.locator(".player-stage .hint");
  const number = Number(/\d+/.exec((await place.textContent()) ?? ""));
  await page.locator(".player-controls .primary").click();
  await place.filter({ hasText: `Step ${number + 1} ` }).waitFor();
}

/** Goes on until the step whose text begins so is done. */
export async function playUntil(shop: Shop, text: string): Promise<void> {
  const step = shop.page.locator("#player-step");
  while (!(await step.textContent())?.startsWith(text)) {
    await beginStep(shop);
    await untilStepIsDone(shop);
  }
}

async function untilVerdict({ page }: Shop, of = ".player"): Promise<void> {
  await page.locator(`${of} .verdict`).waitFor();
  await page.locator(".process-status-text", { hasText: "Everything runs." }).waitFor();
  await untilNothingWaits(page);
}

export const tourViews = [
  {
    name: "tour",
    async prepare(shop) {
      await shop.goTo("tour");
    },
  },
  {
    name: "tour-all-at-once",
    async prepare(shop) {
      await shop.goTo("tour");
      const allAtOnce = (promise: number) =>
        shop.page.locator(`[data-promise="${promise}"]`).getByRole("button", { name: /^All at once: / });
      await allAtOnce(1).click();
      await untilVerdict(shop, '[data-promise="1"]');
      await shop.page.route("**/deliver-again*", (route) =>
        route.fulfill({
          status: 503,
          headers: { "access-control-allow-origin": "*" },
          json: { detail: "The broker does not answer: the request timed out." },
        }),
      );
      await allAtOnce(2).click();
      await untilVerdict(shop, '[data-promise="2"]');
    },
  },
  {
    name: "tour-running",
    async prepare(shop, store) {
      await openPromise(shop, 2);
      // The step waits for it.
      store.process("order").pause();
      await beginStep(shop);
      await shop.page.locator(".evidence a", { hasText: "timeline of" }).waitFor();
      await shop.processLight("order", "paused").waitFor();
      await untilOnlyWaits(shop.page, "order");
    },
  },
  {
    name: "tour-waiting",
    async prepare(shop) {
      await openPromise(shop, 6);
      await playUntil(shop, "Place 4 orders");
    },
  },
  {
    name: "tour-held",
    async prepare(shop) {
      await openPromise(shop, 1);
      await playUntil(shop, "The order goes on to its end");
      await untilVerdict(shop);
    },
  },
  {
    name: "tour-ended",
    async prepare(shop) {
      await openPromise(shop, 1);
      await playUntil(shop, "Place an order: accepted");
      await shop.page.locator(".player-controls").getByRole("button", { name: "End" }).click();
      await untilVerdict(shop);
    },
  },
] as const satisfies readonly View[];
