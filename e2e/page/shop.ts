import type { BrowserContext, Locator, Page } from "playwright-core";
import type { Status } from "../support/answers.ts";
import type { Complaints } from "./browser.ts";

export type View = "" | "basket" | "orders" | "counter" | "figures" | "tour" | `orders/${string}`;

/** The page as somebody uses it: by what is written on it. */
export class Shop {
  constructor(
    readonly context: BrowserContext,
    readonly page: Page,
    readonly complaints: Complaints,
  ) {}

  /** The same visitor's page in another tab. */
  async otherTab(): Promise<Shop> {
    return new Shop(this.context, await this.context.newPage(), this.complaints);
  }

  async open(view: View = ""): Promise<this> {
    await this.page.goto(`/#/${view}`);
    await this.page.locator("h1").first().waitFor();
    return this;
  }

  /** Goes to a view as its links do, without loading the page anew. */
  async goTo(view: View): Promise<this> {
    await this.page.evaluate((hash) => {
      window.location.hash = hash;
    }, `#/${view}`);
    await this.page.locator("h1").first().waitFor();
    return this;
  }

  async signIn(customerId: string): Promise<this> {
    const { page } = this;
    await page.locator("header summary", { hasText: "Sign in" }).click();
    await page.getByRole("banner").getByLabel("or as somebody new").fill(customerId);
    await page.getByRole("banner").getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("banner").getByText(customerId, { exact: true }).waitFor();
    return this;
  }

  async signOut(): Promise<void> {
    await this.page.getByRole("button", { name: "Sign out" }).click();
    await this.page.locator("header summary", { hasText: "Sign in" }).waitFor();
  }

  product(productId: string): Locator {
    return this.page.locator(`[data-product="${productId}"]`);
  }

  /** What the shop says that there is of a product. */
  async available(productId: string): Promise<number> {
    return Number(await this.product(productId).locator("[data-available]").getAttribute("data-available"));
  }

  async add(productId: string, quantity = 1): Promise<this> {
    const product = this.product(productId);
    await product.getByRole("button", { name: /^(Add|Order and wait): / }).click();
    if (quantity > 1) {
      const field = product.getByRole("spinbutton");
      await field.fill(String(quantity));
      await field.blur();
    }
    return this;
  }

  get placeButton(): Locator {
    return this.page.getByRole("button", { name: "Place the order" });
  }

  /** Places what is in the basket; resolves to the number that the page gave the order. */
  async checkOut(): Promise<string> {
    await this.placeButton.click();
    return this.orderShown();
  }

  /** The number of the order that is shown. */
  async orderShown(): Promise<string> {
    await this.page.waitForURL(/#\/orders\/[\w-]+$/);
    return this.page.url().replace(/^.*\//, "");
  }

  /** Waits until the order that is shown has a status. */
  async reaches(status: Status | "sending" | "refused"): Promise<void> {
    await this.page.locator(`.status-card[data-status="${status}"]`).waitFor();
  }

  /** Waits until the news comes in this way. */
  async feed(state: "live" | "polling"): Promise<void> {
    await this.page.locator(`[data-feed="${state}"]`).waitFor();
  }

  /** The names of the messages on the way of the order that is shown. */
  timeline(): Promise<string[]> {
    return this.page.locator(".timeline .step-head strong").allTextContents();
  }

  lamp(process: string, state: string): Locator {
    return this.page.locator(`.lamp[data-process="${process}"][data-state="${state}"]`);
  }
}

/** Has the page believe that it was served where there is no supervisor, as in production. */
export function withoutSupervisor(page: Page): Promise<unknown> {
  return page.addInitScript(() => {
    const observer = new MutationObserver(() => {
      const meta = document.querySelector('meta[name="store-settings"]');
      if (meta === null) return;
      observer.disconnect();
      const { supervisorPort: _, ...settings } = JSON.parse(meta.getAttribute("content") ?? "{}");
      meta.setAttribute("content", JSON.stringify(settings));
    });
    observer.observe(document, { childList: true, subtree: true });
  });
}
