import { eventually } from "@distributed-messaging/messaging/testing";
import type { BrowserContext, Locator, Page } from "playwright-core";
import type { Status } from "../support/answers.ts";

/** What the page says of an order that it cannot send. */
export const KEPT =
  "The store cannot be reached. Your order is kept in this browser and is sent when the store is back.";

export type View =
  | ""
  | "basket"
  | "orders"
  | "admin"
  | `admin/${string}`
  | "figures"
  | "tour"
  | `orders/${string}`;

/** The page, operated as its users do: by its texts and roles. */
export class Shop {
  /** @param messages receives the errors and warnings of the page */
  constructor(
    readonly page: Page,
    private readonly messages: string[] = [],
  ) {
    page.on("console", (message) => {
      const type = message.type();
      if (type === "error" || type === "warning") {
        messages.push(`${type}: ${message.text()} (${message.location().url})`);
      }
    });
    page.on("pageerror", (error) => messages.push(`uncaught: ${error.message}`));
  }

  get context(): BrowserContext {
    return this.page.context();
  }

  /** The same visitor's page in another tab. */
  async otherTab(): Promise<Shop> {
    return new Shop(await this.context.newPage(), this.messages);
  }

  /** The errors and warnings in all tabs of the visitor, without the expected ones. */
  consoleMessages(expected?: RegExp): string[] {
    return this.messages.filter((text) => expected === undefined || !expected.test(text));
  }

  async open(view: View = ""): Promise<this> {
    await this.page.goto(`/#/${view}`);
    await this.page.locator("h1").first().waitFor();
    return this;
  }

  /** Goes to a view without a reload, as the links do. Resolves when the page shows it. */
  async goTo(view: View): Promise<this> {
    await this.page.evaluate(async (hash) => {
      if (window.location.hash === hash) return;
      const changed = new Promise((resolve) => {
        window.addEventListener("hashchange", resolve, { once: true });
      });
      window.location.hash = hash;
      await changed;
    }, `#/${view}`);
    await this.page.locator("h1").first().waitFor();
    return this;
  }

  async signIn(customerId: string): Promise<this> {
    const { page } = this;
    await page.locator("header summary", { hasText: "Sign in" }).click();
    await page.getByRole("banner").getByLabel("or as somebody else").fill(customerId);
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

  /** The shown stock of a product. */
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

  /** Places the basket. @returns the order's id */
  async checkOut(): Promise<string> {
    await this.placeButton.click();
    return this.orderShown();
  }

  /** The id of the shown order. */
  async orderShown(): Promise<string> {
    await this.page.waitForURL(/#\/orders\/[\w-]+$/);
    return this.page.url().replace(/^.*\//, "");
  }

  /** Waits until the shown order has the status. */
  async untilStatus(status: Status | "sending" | "refused"): Promise<void> {
    await this.page.locator(`.status-card[data-status="${status}"]`).waitFor();
  }

  /** Waits until the page receives notifications in this way. */
  async untilConnection(state: "live" | "polling"): Promise<void> {
    await this.page.locator(`[data-connection="${state}"]`).waitFor();
  }

  /** The names of the messages in the timeline of the shown order. */
  timeline(): Promise<string[]> {
    return this.page.locator(".timeline .step-head strong").allTextContents();
  }

  /** The paths of all that the service worker keeps. */
  keptPaths(): Promise<string[]> {
    return this.page.evaluate(async () => {
      const names = await caches.keys();
      const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
      return requests.flat().map(({ url }) => url.replace(location.origin, ""));
    });
  }

  /** Waits until the page opens without the gateway. */
  async untilShellIsKept(): Promise<void> {
    await eventually(
      async () => (await this.keptPaths()).includes("/"),
      "the service worker to keep the page",
    );
  }

  processLight(process: string, state: string): Locator {
    return this.page.locator(`.map-part[data-process="${process}"][data-state="${state}"]`);
  }
}

/** Removes the supervisor from the settings of the page, as in production. */
export function withoutSupervisor(page: Page): Promise<unknown> {
  return withSettings(page, { supervisorPort: null });
}

/** Replaces settings of the page. */
export function withSettings(page: Page, replacements: object): Promise<unknown> {
  return page.addInitScript((replaced) => {
    const observer = new MutationObserver(() => {
      const meta = document.querySelector('meta[name="store-settings"]');
      if (meta === null) return;
      observer.disconnect();
      const settings = JSON.parse(meta.getAttribute("content") ?? "{}");
      meta.setAttribute("content", JSON.stringify({ ...settings, ...replaced }));
    });
    observer.observe(document, { childList: true, subtree: true });
  }, replacements);
}
