import { expect } from "bun:test";
import type { Locator, Page } from "playwright-core";
import type { Shop } from "./shop.ts";

/** The demonstration of a promise that is shown step by step. */
export class Player {
  readonly #page: Page;

  private constructor(private readonly shop: Shop) {
    this.#page = shop.page;
  }

  static async open(shop: Shop, promise: number): Promise<Player> {
    await shop.open("tour");
    await shop.page
      .locator(`[data-promise="${promise}"]`)
      .getByRole("button", { name: /, step by step$/ })
      .click();
    const player = new Player(shop);
    await player.untilStepIsDone();
    return player;
  }

  get step(): Locator {
    return this.#page.locator("#player-step");
  }

  get verdict(): Locator {
    return this.#page.locator(".player .verdict");
  }

  control(name: string): Locator {
    return this.#page.locator(".player-controls").getByRole("button", { name: new RegExp(`^${name}\\b`) });
  }

  /** Resolves when the visitor can go on: to the next step, or after the last one to the next promise. */
  async untilStepIsDone(): Promise<void> {
    await this.#page.locator('.player-controls .primary[aria-disabled="false"]').waitFor();
  }

  async next(): Promise<void> {
    await this.control("Next").click();
    await this.untilStepIsDone();
  }

  /** Goes on until the step with this text is done. */
  async goTo(text: string): Promise<void> {
    while ((await this.step.textContent()) !== text) await this.next();
  }

  /** Opens every link of the evidence that is not in `seen`, and checks what it leads to. @returns the kinds of evidence */
  async followEvidence(seen: Set<string>): Promise<string[]> {
    const kinds = await this.#page.locator(".evidence dt").allTextContents();
    for (const link of await this.#page.locator(".evidence a").all()) {
      const href = (await link.getAttribute("href")) ?? "";
      if (seen.has(href)) continue;
      seen.add(href);
      const [tab] = await Promise.all([this.shop.context.waitForEvent("page"), link.click()]);
      await this.#check(tab, href);
      await tab.close();
    }
    return kinds;
  }

  async #check(tab: Page, href: string): Promise<void> {
    const order = /^#\/orders\/(.+)$/.exec(href)?.[1];
    if (order !== undefined) {
      await tab.locator("h1", { hasText: order }).waitFor();
      await tab.locator(".status-card").waitFor();
      return;
    }
    if (href === "#/orders") return tab.locator("h1").waitFor();
    const shown = (await tab.locator("body").textContent()) ?? "";
    const text = /#:~:text=(.+)$/.exec(href)?.[1];
    if (text !== undefined) expect(shown).toContain(decodeURIComponent(text));
    else expect(JSON.parse(shown)).not.toBeEmpty();
  }
}
